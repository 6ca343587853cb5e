"""The hub part of each kind of proxy: how it gets many routes fast, and how it ends."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import aiohttp

from ..routes import Route

# etcd takes 128 operations a transaction and Consul 64; the peer writes up to 12 keys a route.
_PEER_ROUTES_A_WRITE = 5


class HubPart:
    """Any proxy class of JupyterHub. It fits CHP as it is, whose routes are in its memory."""

    def __init__(self, proxy: Any) -> None:
        self.proxy = proxy

    async def open(self, routes: list[Route]) -> None:
        """Start with `routes`."""
        await self.start()
        await self._add_all(routes)

    async def start(self) -> None:
        await _finished(self.proxy.start())

    async def stop(self) -> None:
        """End the proxy. A store keeps its table."""
        await _finished(self.proxy.stop())

    async def snapshot(self) -> None:
        """Give the whole table to the running proxy."""
        raise NotImplementedError

    async def remove(self) -> None:
        """Remove the table from a store that stays."""

    async def _add_all(self, routes: list[Route]) -> None:
        await asyncio.gather(*(self.proxy.add_route(*route) for route in routes))


class OwnPart(HubPart):
    """KVProxy: routes that are added before its start wait for no Traefik."""

    async def open(self, routes: list[Route]) -> None:
        await self._add_all(routes)
        await self.start()

    async def snapshot(self) -> None:
        """Push the whole table to the plugin of the running Traefik, as to one without a table."""
        # Imported here, because the peer's Python does not have it.
        from jhub_kvproxy.push import plugin
        from jhub_kvproxy.push.journal import Journal
        from jhub_kvproxy.push.wire import Served, form_of

        writer, policy = self.proxy.control.writer, self.proxy.policy
        journal = Journal(form_of(policy))
        journal.record(writer.revision, writer.table.routes, is_whole=True)
        message = journal.message(Served())
        assert message
        async with aiohttp.ClientSession() as session:
            body = await asyncio.to_thread(message.body, lambda _: policy)
            answer = await plugin.send(self.proxy.control.local.apis[0], session, message.method, body)
        if answer.refusal:
            raise RuntimeError(f"The plugin refuses the table: {answer.refusal}")

    async def remove(self) -> None:
        backend = self.proxy.backend_class(config=self.proxy.config, prefix=self.proxy.prefix)
        await backend.open()
        try:
            await backend.remove()
        finally:
            await backend.close()


class PeerPart(HubPart):
    """jupyterhub-traefik-proxy: its own keys are written many routes at once, and nothing is waited for.

    By its add_route, 1,000 routes take minutes, and that is not what is measured then.
    """

    async def open(self, routes: list[Route]) -> None:
        is_one_file = self.proxy.provider_name == "file"
        for part in [routes] if is_one_file else _chunks(routes, _PEER_ROUTES_A_WRITE):
            routers: dict[str, Any] = {}
            services: dict[str, Any] = {}
            records: dict[str, Any] = {}
            for route in part:
                config, record = self.proxy._dynamic_config_for_route(*route)
                routers |= config["http"]["routers"]
                services |= config["http"]["services"]
                records |= record["routes"]
            http = {"routers": routers, "services": services}
            await self.proxy._apply_dynamic_config({"http": http}, {"routes": records})
        await self.start()


def _chunks(routes: list[Route], size: int) -> Iterator[list[Route]]:
    for start in range(0, len(routes), size):
        yield routes[start : start + size]


async def _finished(outcome: Any) -> None:
    if inspect.isawaitable(outcome):
        await outcome
