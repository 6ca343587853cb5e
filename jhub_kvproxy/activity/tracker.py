"""When each route was used last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..aio import in_thread
from ..routing.routes import Route
from ..traefik.discovery import Discovery
from .clock import NEVER, TimeOfDay, steady
from .remote import Remote
from .sockets import Peer
from .uses import Uses

# Seconds. Answers younger than this are reused.
_FRESH = 1.0
# Seconds after which a route that was added is in the table, or has been deleted.
_SETTLED = 60.0
# So many of the routes that share a target are named in the log.
_NAMED = 3


class Activity:
    """Knows when each route was used last, from :meth:`start` to :meth:`close`.

    It asks the kernel of this machine (`owners`: see :class:`~jhub_kvproxy.activity.uses.Uses`), and the agents that
    `agents`, which is made at the start, finds.
    """

    def __init__(self, owners: frozenset[int] | None, agents: Callable[[], Discovery[Any]], log: Any) -> None:
        self._log = log
        self._here = Uses(owners, log)
        self._elsewhere = Remote(agents, log)
        self._time_of_day = TimeOfDay()
        #: When (:func:`~jhub_kvproxy.activity.clock.steady`) each route was added, and its target, by its name; without
        #: those that were there before us.
        self._added: dict[str, tuple[float, str]] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._told: set[tuple[str, ...]] = set()

    def start(self) -> None:
        """Raises :class:`~jhub_kvproxy.errors.KVProxyError` when the kernel refuses, or agents cannot be asked."""
        self._elsewhere.start()
        self._here.start()

    async def close(self) -> None:
        await self._here.close()

    def added(self, route: Route) -> None:
        """`route` is new, or has a new target, which counts as a use."""
        self._added[route.name] = (steady(), route.target)
        self._here.watch(route.target)

    async def refresh(self, routes: Mapping[str, Route]) -> None:
        """Find out when `routes` were used; they are all that there are."""
        async with self._asking:
            if time.monotonic() - self._asked_at > _FRESH:
                await self._ask(routes)
                self._asked_at = time.monotonic()

    def last_use(self, route: Route) -> float | None:
        """When (:func:`time.time`) `route` was used last, or added; None: neither is known."""
        added_at, target = self._added.get(route.name, (NEVER, ""))
        # Another route may have had this target before.
        since = added_at if target == route.target else NEVER
        at = max(self._here.last(route.target), self._elsewhere.last(route.target), since)
        return None if at == NEVER else self._time_of_day.at(at)

    async def _ask(self, routes: Mapping[str, Route]) -> None:
        targets = await in_thread(self._targets, routes)
        await asyncio.gather(self._here.refresh(targets), self._elsewhere.refresh(targets))
        for _, target in self._added.values():  # some may have come meanwhile
            self._here.watch(target)
        for sharing in await in_thread(self._sharing, routes):
            self._log.warning("The routes %s have one target: use of one counts as use of all", sharing)

    def _targets(self, routes: Mapping[str, Route]) -> set[str]:
        """The targets of `routes`, and of routes that were just added."""
        since = steady() - _SETTLED
        for name, (at, _) in self._added.copy().items():
            if name not in routes and at < since:
                del self._added[name]
        targets = {route.target for route in routes.values()}
        return targets.union(target for _, target in self._added.copy().values())

    def _sharing(self, routes: Mapping[str, Route]) -> list[str]:
        """The routes that share a target and are not in the log yet, a text for each target."""
        by_peer: dict[Peer, list[str]] = {}
        for route in routes.values():
            for peer in self._here.peers(route.target):
                by_peer.setdefault(peer, []).append(route.routespec)
        shared = {tuple(specs[:_NAMED]): len(specs) for specs in by_peer.values() if len(specs) > 1}
        told, self._told = self._told, set(shared)
        return [
            ", ".join(specs) + (f" and {count - len(specs)} more" if count > len(specs) else "")
            for specs, count in shared.items()
            if specs not in told
        ]
