"""The composition root: makes the parts of an agent, starts them, and stops them in the opposite order."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from ..aio import in_thread
from ..push import plugin
from ..push.plugin import Listing
from ..push.wire import Served, pattern_of
from ..routing.routes import Route
from ..store.contract import Backend
from ..traefik.api import TraefikAPI
from .cache import Cache
from .follower import Follower
from .gauges import Gauges
from .listening import listen
from .merged import Merged
from .server import Server
from .settings import AgentSettings
from .states import States
from .targets import TargetUses
from .traefik_feed import TraefikFeed

T = TypeVar("T")

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
                self._settings.token,
                states=self.states,
                ages=self._ages,
                routes=self._routes,
                uses=None,
                metrics=Gauges(self.states).text,
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

    async def _routes(self, hub: str, path: str, host: str) -> Listing:
        """The routes of `hub` that Traefik serves, or the one that a request gets. Raises TraefikError."""
        async with aiohttp.ClientSession() as session:
            listing = await plugin.routes(self._api, session, path, host)
        targets = await in_thread(self._of_hub, hub, listing.targets)
        return Listing(Served(self.states.state(hub).revision), targets)

    def _of_hub(self, hub: str, all_hubs: Mapping[str, T]) -> dict[str, T]:
        owner = self._merged.fleet.owner
        return {key: told for key, told in all_hubs.items() if owner(pattern_of(key).name) == hub}


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
