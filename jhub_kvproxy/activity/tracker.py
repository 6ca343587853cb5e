"""When each route was used last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import KVProxyError
from ..routes import Route
from .sockets import ClosedConnections, Peer, open_connections
from .targets import Targets

# Asked again within this time, the kernel is not.
_FRESH = 1.0
# Closed connections are looked at so often, and so many at once, that they cost little however many there are.
_PAUSE, _AT_ONCE = 0.02, 200
_LOOKUP_PATIENCE = 5.0
# A route that was added so long ago is in the table, or has been deleted.
_SETTLED = 60.0
# Of routes that share a target, so many are named.
_NAMED = 3


class Activity:
    """Times of the last data between Traefik and the target of each route, from :meth:`start` to :meth:`close`.

    `owners` are the users (ids) whose connections count; None: all users'. Times are those of :func:`time.time`.
    """

    def __init__(self, owners: frozenset[int] | None, log: Any) -> None:
        self._owners = owners
        # Many kernels do not know any more whose a closed connection was, and say root's.
        self._owners_of_closed = owners and owners | {0}
        self._log = log
        self._targets = Targets()
        self._closed = ClosedConnections()
        self._news = -1
        self._pause: asyncio.TimerHandle | None = None
        #: When each peer that a target has was used last; 0: not known.
        self._used: dict[Peer, float] = {}
        #: When each route was added, by its name, and its target; none for those that were there before us.
        self._added: dict[str, tuple[float, str]] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._lookups: set[asyncio.Task[None]] = set()
        self._told: set[tuple[str, ...]] = set()
        self._trouble = ""

    def start(self) -> None:
        """Raises :class:`~jhub_kvproxy.errors.KVProxyError` when the kernel does not tell of connections."""
        self._news = self._closed.open()
        self._listen()

    async def close(self) -> None:
        if self._pause:
            self._pause.cancel()
            self._pause = None
        if self._news >= 0:
            asyncio.get_running_loop().remove_reader(self._news)
            self._news = -1
        self._closed.close()
        for lookup in self._lookups:
            lookup.cancel()
        if self._lookups:
            await asyncio.wait(self._lookups)

    def added(self, route: Route) -> None:
        """`route` is new, or has a new target, which counts as a use."""
        self._added[route.name] = (time.time(), route.target)
        self._take_in(route.target)

    async def refresh(self, routes: Mapping[str, Route]) -> None:
        """Find out when `routes` were used; they are all that there are."""
        async with self._asking:
            if time.monotonic() - self._asked_at > _FRESH:
                await self._ask(routes)
                self._asked_at = time.monotonic()

    def last_use(self, route: Route) -> float | None:
        """When `route` was used last, or added; None: neither is known."""
        added_at, target = self._added.get(route.name, (0.0, ""))
        uses = [self._used.get(peer, 0.0) for peer in self._targets.peers(route.target)]
        # The same place may have been another route's before.
        return max(*uses, 0.0, added_at if target == route.target else 0.0) or None

    async def _ask(self, routes: Mapping[str, Route]) -> None:
        lookups = self._look_up(await asyncio.to_thread(self._learn_all, routes))
        if lookups:
            await asyncio.wait(lookups, timeout=_LOOKUP_PATIENCE)
        for sharing in await asyncio.to_thread(self._sharing, routes.values()):
            self._log.warning("The routes %s have one target: use of one counts as use of all", sharing)
        peers = await asyncio.to_thread(self._forget, routes)
        self._used = {peer: self._used.get(peer, 0.0) for peer in peers}
        for _, target in self._added.values():  # some may have come meanwhile
            self._take_in(target)
        try:
            idle = await asyncio.to_thread(open_connections, self._used.copy(), self._owners)
        except KVProxyError as error:
            if str(error) != self._trouble:
                self._log.warning("%s", error)
            self._trouble = str(error)
        else:
            self._trouble = ""
            now = time.time()
            for peer, seconds in idle.items():
                self._is_used(peer, now - seconds)

    def _take_in(self, target: str) -> None:
        self._look_up(self._targets.learn([target]))
        self._watch(self._targets.peers(target))

    def _look_up(self, targets: Iterable[str]) -> list[asyncio.Task[None]]:
        lookups = [asyncio.create_task(self._look_up_one(target)) for target in targets]
        self._lookups.update(lookups)
        for lookup in lookups:
            lookup.add_done_callback(self._lookups.discard)
        return lookups

    async def _look_up_one(self, target: str) -> None:
        await self._targets.look_up(target)
        self._watch(self._targets.peers(target))

    def _watch(self, peers: Iterable[Peer]) -> None:
        for peer in peers:
            self._used.setdefault(peer, 0.0)

    def _learn_all(self, routes: Mapping[str, Route]) -> list[str]:
        return self._targets.learn({route.target for route in routes.values()})

    def _forget(self, routes: Mapping[str, Route]) -> set[Peer]:
        """Keep in mind only what these `routes` need, and those that were just added; returns all their peers."""
        since = time.time() - _SETTLED
        for name in [name for name, at in self._added.copy().items() if name not in routes and at[0] < since]:
            del self._added[name]
        targets = {route.target for route in routes.values()}
        targets.update(target for _, target in self._added.copy().values())
        self._targets.keep(targets)
        return {peer for target in targets for peer in self._targets.peers(target)}

    def _listen(self) -> None:
        self._pause = None
        asyncio.get_running_loop().add_reader(self._news, self._hear)

    def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._news)
        now = time.time()
        for peer, seconds in self._closed.news(self._used, self._owners_of_closed, _AT_ONCE):
            self._is_used(peer, now - seconds)
        self._pause = loop.call_later(_PAUSE, self._listen)

    def _is_used(self, peer: Peer, at: float) -> None:
        if peer in self._used:
            self._used[peer] = max(self._used[peer], at)

    def _sharing(self, routes: Iterable[Route]) -> list[str]:
        """Who has one target, if it was not told of before."""
        by_peer: dict[Peer, list[str]] = {}
        for route in routes:
            for peer in self._targets.peers(route.target):
                by_peer.setdefault(peer, []).append(route.routespec)
        shared = {tuple(specs[:_NAMED]): len(specs) for specs in by_peer.values() if len(specs) > 1}
        told, self._told = self._told, set(shared)
        return [
            ", ".join(specs) + (f" and {count - len(specs)} more" if count > len(specs) else "")
            for specs, count in shared.items()
            if specs not in told
        ]
