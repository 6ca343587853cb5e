"""The way by the store: Traefik reads its routers there by itself, and its API says which revision it serves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import RouteNotReady
from ..push.plugin import Answer
from ..push.readiness import Readiness
from ..push.replica import Replica
from ..routing.revision import Revision
from ..routing.routes import Route
from ..store.reconciler import Committed
from ..store.writer import Writer
from .poller import Poller
from .rules import spread
from .throttle import CommitThrottle

# A router that Traefik refuses in so many lists of a store one after another is wrong.
_LOOKS = 4


class StoreDelivery:
    """Waits until the replicas that `readiness` knows serve a change that they read from the store.

    `provider` is Traefik's name for the store, and `lists_at_once` says whether Traefik reads all keys of it as they
    were at one moment.
    """

    def __init__(
        self,
        writer: Writer,
        throttle: CommitThrottle,
        readiness: Readiness,
        log: Any,
        *,
        provider: str,
        lists_at_once: bool,
    ) -> None:
        self._writer = writer
        self._throttle = throttle
        self._readiness = readiness
        self._provider = provider
        self._lists_at_once = lists_at_once
        self._poller = Poller(readiness, provider, log)

    @property
    def answers(self) -> Mapping[Replica, Answer]:
        """What plugins answer: there are none."""
        return {}

    def committed(self, committed: Committed) -> None:
        self._throttle.committed(committed.revision)

    def watch(self, replicas: Sequence[Replica]) -> None:
        """Ask these, and no others, what they serve."""
        self._poller.watch(replicas)

    async def confirm(self, revision: Revision, route: Route | None, timeout: float, *, is_new: bool) -> None:
        """Wait until every replica that is up serves `revision`, and `route`, if that is given, with it.

        `is_new` says whether `revision` has just been committed. Raises :class:`~jhub_kvproxy.errors.RouteNotReady`
        after `timeout` seconds, or when Traefik refuses `route`, and what the writer does.
        """
        if route is None or not is_new or self._lists_at_once:
            await self._wait(revision, route, timeout)
            return
        # Traefik may list the keys while they are written, and then lack some of them, or call the route wrong for
        # that. What it lists next is whole, but for what the next commit changes meanwhile. That may be the place of
        # this route in the tree.
        ends = time.monotonic() + timeout
        await self._wait(revision, None, timeout)
        for look in range(_LOOKS):
            revision = await self._writer.touch(ends - time.monotonic())
            try:
                return await self._wait(revision, route, ends - time.monotonic())
            except RouteNotReady:
                if look + 1 == _LOOKS or time.monotonic() > ends:
                    raise

    async def close(self) -> None:
        await self._poller.close()
        await self._throttle.close()

    async def _wait(self, revision: Revision, route: Route | None, timeout: float) -> None:
        router = f"{spread(route.name)}@{self._provider}" if route else None
        await self._readiness.wait(revision, router, timeout, for_fresh_answers=True)
