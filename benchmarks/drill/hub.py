"""A hub, in a process of its own: ``python -m benchmarks.drill.hub``, driven by :mod:`servers.serve`.

It uses its proxy object as JupyterHub does: asks for all routes first, then checks them with JupyterHub's own
``Proxy.check_routes``, and again every now and then.
"""

from __future__ import annotations

import asyncio
import traceback
from types import SimpleNamespace
from typing import Any

from aiohttp import web

from servers.serve import serve

from ..worker.make import make_part
from .book import path
from .clock import set_ahead

# Seconds between checks in the Helm chart for Kubernetes; JupyterHub's own default is 300 s.
_POLL_INTERVAL = 60.0


class Hub:
    """The commands that the drill gives to a hub."""

    def __init__(self) -> None:
        self._proxy: Any = None
        self._name, self._port = "", 0
        self._users: dict[str, SimpleNamespace] = {}
        self._web: web.AppRunner | None = None
        self._polling: asyncio.Task[None] | None = None

    async def make(self, name: str, port: int, specification: dict[str, Any], clock_ahead: float) -> None:
        """Make the proxy object. The hub's wall clock is `clock_ahead` seconds ahead."""
        self._name, self._port = name, port
        if clock_ahead:
            set_ahead(clock_ahead)
        self._proxy = make_part(hub_url=f"http://127.0.0.1:{port}", **specification).proxy

    async def boot(self, users: dict[str, str]) -> None:
        """Start with the users whose servers run, by name, with their ports. May be repeated after a failure."""
        self._users = {name: _user(name, port) for name, port in users.items()}
        routes = await self._proxy.get_all_routes()
        if self._web is None:
            runner = web.AppRunner(_application(self._name), access_log=None)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", self._port).start()
            except BaseException:  # another program has taken the port: then nobody must take its answers for ours
                await runner.cleanup()
                raise
            self._web = runner
        await self._check(routes)
        self._polling = asyncio.create_task(self._poll_forever())

    async def add(self, name: str, port: str) -> None:
        """Start a server, or replace the running one."""
        before, user = self._users.get(name), _user(name, port)
        spawner = user.spawners[""]
        spawner.ready, spawner.pending = False, "spawn"
        self._users[name] = user
        try:
            await self._proxy.add_user(user)
        except Exception:
            if before:
                self._users[name] = before
            else:
                del self._users[name]
            raise
        spawner.ready, spawner.pending = True, None

    async def delete(self, name: str) -> None:
        """Stop a server."""
        user = self._users[name]
        spawner = user.spawners[""]
        spawner.ready, spawner.pending = False, "stop"
        try:
            await self._proxy.delete_user(user)
        except Exception:
            spawner.ready, spawner.pending = True, None
            raise
        del self._users[name]

    async def routes(self) -> dict[str, str]:
        """The target of each route."""
        return {spec: route["target"] for spec, route in (await self._proxy.get_all_routes()).items()}

    async def poll(self) -> None:
        await self._check(await self._proxy.get_all_routes())

    async def stop(self) -> None:
        if self._polling:
            self._polling.cancel()
        if self._web:
            await self._web.cleanup()

    async def _check(self, routes: dict[str, Any]) -> None:
        await self._proxy.check_routes(self._users, {}, routes)

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(_POLL_INTERVAL)
            try:
                await self.poll()
            except Exception:  # as JupyterHub does
                traceback.print_exc()


def _user(name: str, port: str) -> SimpleNamespace:
    """The part of JupyterHub's user that `Proxy` uses."""
    server = SimpleNamespace(host=f"http://127.0.0.1:{port}")
    spawner = SimpleNamespace(ready=True, pending=None, proxy_spec=path(name), server=server, _log_name=name)
    return SimpleNamespace(name=name, proxy_spec=path(name), spawners={"": spawner})


def _application(name: str) -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=name)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return app


if __name__ == "__main__":
    serve(Hub())
