"""When each route was used last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import KVProxyError
from ..routing.routes import Route
from .remote import Remote
from .sockets import Peer
from .uses import Uses

# Asked again within this time, nobody is.
_FRESH = 1.0
# A route that was added so long ago is in the table, or has been deleted.
_SETTLED = 60.0
# Of routes that share a target, so many are named.
_NAMED = 3


class Activity:
    """Knows when each route was used last, from :meth:`start` to :meth:`close`.

    The kernel of this machine tells (`owners`: see :class:`~jhub_kvproxy.activity.uses.Uses`), and those that are
    asked at `urls`, with `token`.
    """

    def __init__(self, owners: frozenset[int] | None, urls: Sequence[str], token: str, log: Any) -> None:
        self._log = log
        self._here = Uses(owners, log)
        self._elsewhere = Remote(urls, token, log)
        self._lacks_token = bool(urls) and not token
        #: When each route was added, by its name, and its target; none for those that were there before us.
        self._added: dict[str, tuple[float, str]] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._told: set[tuple[str, ...]] = set()

    def start(self) -> None:
        """Raises :class:`~jhub_kvproxy.errors.KVProxyError` when it cannot be."""
        if self._lacks_token:
            raise KVProxyError(
                "KVProxy.activity_urls needs the token of the agents: set KVPROXY_ACTIVITY_TOKEN in the environment of "
                "the Hub, or KVProxy.activity_token."
            )
        self._here.start()

    async def close(self) -> None:
        await self._here.close()

    def added(self, route: Route) -> None:
        """`route` is new, or has a new target, which counts as a use."""
        self._added[route.name] = (time.time(), route.target)
        self._here.watch(route.target)

    async def refresh(self, routes: Mapping[str, Route]) -> None:
        """Find out when `routes` were used; they are all that there are."""
        async with self._asking:
            if time.monotonic() - self._asked_at > _FRESH:
                await self._ask(routes)
                self._asked_at = time.monotonic()

    def last_use(self, route: Route) -> float | None:
        """When `route` was used last, or added; None: neither is known."""
        added_at, target = self._added.get(route.name, (0.0, ""))
        # The same place may have been another route's before.
        since = added_at if target == route.target else 0.0
        return max(self._here.last(route.target), self._elsewhere.last(route.target), since) or None

    async def _ask(self, routes: Mapping[str, Route]) -> None:
        targets = await asyncio.to_thread(self._targets, routes)
        await asyncio.gather(self._here.refresh(targets), self._elsewhere.refresh(targets))
        for _, target in self._added.values():  # some may have come meanwhile
            self._here.watch(target)
        for sharing in await asyncio.to_thread(self._sharing, routes):
            self._log.warning("The routes %s have one target: use of one counts as use of all", sharing)

    def _targets(self, routes: Mapping[str, Route]) -> set[str]:
        """Those of `routes`, and of those that were just added."""
        since = time.time() - _SETTLED
        for name, (at, _) in self._added.copy().items():
            if name not in routes and at < since:
                del self._added[name]
        targets = {route.target for route in routes.values()}
        return targets.union(target for _, target in self._added.copy().values())

    def _sharing(self, routes: Mapping[str, Route]) -> list[str]:
        """Who has one target, if it was not told of before."""
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
