"""The composition root: makes the parts of an agent, starts them, and stops them in the opposite order."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from ..aio import Tasks, in_thread
from ..errors import KVProxyError
from ..push import plugin
from ..push.wire import pattern_of
from ..routing.routes import Route
from ..store.contract import Backend
from ..traefik.api import TraefikAPI
from .cache import Cache
from .follower import Follower
from .gauges import Gauges
from .merged import Merged
from .server import Server, tls_of
from .settings import AgentSettings
from .states import States
from .targets import TargetUses
from .traefik_feed import TraefikFeed

_RELOAD_INTERVAL = 10.0
#: So many refused routes are named in the log at a time.
_SHOWN = 5


class Agent:
    """Brings the tables in `backends`, by the prefix of their hub, to the Traefik with this `api`.

    From :meth:`start` to :meth:`close`. The `backends` only read.
    """

    def __init__(self, settings: AgentSettings, backends: Mapping[str, Backend], api: TraefikAPI, log: Any) -> None:
        self._settings = settings
        self._api = api
        self._log = log
        self._merged = Merged(settings.hubs)
        self._followers = {hub: Follower(hub, backends[hub], log, self._took) for hub in settings.hubs}
        self._feed = TraefikFeed(api, self._merged, self._is_sure, self._changed, log)
        self._cache = Cache(Path(settings.cache), log) if settings.cache else None
        self.states = States(self._followers, self._merged, self._feed)
        self._stack: AsyncExitStack | None = None

    async def start(self) -> None:
        """Raises :class:`~jhub_kvproxy.errors.KVProxyError` when it cannot listen. Nothing of it stays behind then."""
        async with AsyncExitStack() as stack:
            cached = await self._cache.read() if self._cache else {}
            server = Server(
                self._settings.token, states=self.states, ages=self._ages, uses=None, metrics=Gauges(self.states).text
            )
            await listen(stack, server, self._settings, self._log)
            if self._cache:
                stack.push_async_callback(self._cache.close)
                self._cache.start()
            for hub, follower in self._followers.items():
                stack.push_async_callback(follower.close)
                follower.start(cached.get(hub))
            stack.push_async_callback(self._feed.close)
            self._feed.start()
            self._stack = stack.pop_all()

    def end(self) -> None:
        """Say that users must be sent elsewhere; what is served stays so until :meth:`close`."""
        self.states.is_ending = True
        self._feed.expects_end = True
        self.states.changed()

    async def close(self) -> None:
        stack, self._stack = self._stack, None
        if stack:
            await stack.aclose()

    def _took(self, follower: Follower, changed: dict[str, Route | None], has_new_options: bool) -> None:
        fleet, hubs = self._merged.fleet, self._settings.hubs
        before = {hub: fleet.refused(hub) for hub in hubs}
        self._merged.change(follower.prefix, follower.table, changed, has_new_options=has_new_options)
        for hub in hubs:
            new = [entry for entry in fleet.refused(hub).items() if entry[0] not in before[hub]]
            for routespec, why in new[:_SHOWN]:
                self._log.error("The route %r of the hub %r is not served: %s", routespec, hub, why)
            if len(new) > _SHOWN:
                self._log.error("%d more routes of the hub %r are not served", len(new) - _SHOWN, hub)
        if self._cache:
            self._cache.keep(follower.prefix, follower.table)

    def _changed(self) -> None:
        self.states.changed()

    def _is_sure(self) -> bool:
        followers = self._followers.values()
        return any(each.has_asked for each in followers) and all(
            each.has_asked or each.is_overdue for each in followers
        )

    async def _ages(self, hub: str) -> dict[str, float]:
        """Seconds since each route of `hub` was used last, by the plugin's key. Raises TraefikError."""
        async with aiohttp.ClientSession() as session:
            ages = await plugin.ages(self._api, session)
        if len(self._followers) == 1:
            return ages
        return await in_thread(self._of_hub, hub, ages)

    def _of_hub(self, hub: str, ages: Mapping[str, float]) -> dict[str, float]:
        owner = self._merged.fleet.owner
        return {key: age for key, age in ages.items() if owner(pattern_of(key).name) == hub}


class ActivityAgent:
    """Tells when targets were used, beside a Traefik that reads the store by itself: ``KVProxy.delivery = "store"``."""

    def __init__(self, settings: AgentSettings, log: Any) -> None:
        self._settings = settings
        self._log = log
        self._stack: AsyncExitStack | None = None

    async def start(self) -> None:
        """In the way of :meth:`Agent.start`."""
        async with AsyncExitStack() as stack:
            uses = TargetUses(self._log)
            stack.push_async_callback(uses.close)
            uses.start()
            server = Server(self._settings.token, states=None, ages=None, uses=uses.answer, metrics=Gauges(None).text)
            await listen(stack, server, self._settings, self._log)
            self._stack = stack.pop_all()

    def end(self) -> None:
        """Nothing is served here."""

    async def close(self) -> None:
        stack, self._stack = self._stack, None
        if stack:
            await stack.aclose()


async def read_tls(settings: AgentSettings) -> ssl.SSLContext | None:
    """For an agent that speaks TLS; None if it does not. Raises :class:`~jhub_kvproxy.errors.KVProxyError`."""
    try:
        return await in_thread(tls_of, settings.tls_cert, settings.tls_key)
    except OSError as error:
        files = f"Agent.tls_cert ({settings.tls_cert}) and Agent.tls_key ({settings.tls_key})"
        raise KVProxyError(f"{files} cannot be used: {error}.") from error


async def listen(stack: AsyncExitStack, server: Server, settings: AgentSettings, log: Any) -> None:
    """Have `server` listen until `stack` is closed, with a certificate that is read again when its files change."""
    place = f"{settings.ip}:{settings.port} (Agent.ip, Agent.port)"
    seen = await in_thread(_times, settings)
    tls = await read_tls(settings)
    stack.push_async_callback(server.close)
    try:
        await server.start(settings.ip, settings.port, tls)
    except OSError as error:
        raise KVProxyError(f"The agent cannot listen at {place}: {error.strerror or error}.") from error
    if tls:
        tasks = Tasks(log)
        stack.push_async_callback(tasks.close)
        tasks.keep(lambda: _reload(tls, settings, seen, log), "watching the agent's certificate")


async def _reload(tls: ssl.SSLContext, settings: AgentSettings, seen: list[int], log: Any) -> None:
    """Load the files into `tls` whenever their times are others than those `seen` before."""
    while True:
        await asyncio.sleep(_RELOAD_INTERVAL)
        before, seen = seen, await in_thread(_times, settings)
        if seen == before:
            continue
        try:
            # On trial first: a certificate whose key does not fit takes the key away that is there.
            await in_thread(tls_of, settings.tls_cert, settings.tls_key)
            await in_thread(tls.load_cert_chain, settings.tls_cert, settings.tls_key or None)
            log.info("The agent uses what is new in Agent.tls_cert")
        except OSError as error:
            log.error("Agent.tls_cert and Agent.tls_key cannot be used, and the agent keeps what it has: %s", error)


def _times(settings: AgentSettings) -> list[int]:
    return [_time(name) for name in (settings.tls_cert, settings.tls_key) if name]


def _time(file: str) -> int:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0
