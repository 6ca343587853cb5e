"""Keeps the store as the hub left it, and the lease, while nobody calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, cast

from .. import metrics
from ..aio import Backoff, Tasks
from ..errors import BackendError, LeaseLost
from ..notice import Notice
from .contract import Backend, SupportsWatch
from .lease import Lease
from .reconciler import Reconciler
from .writer import Writer

_NOTICE_INTERVAL = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
#: A watch that has gone on for so long works.
_STEADY = 5.0
#: After changes of ours a comparison waits until none has come for so long, or at most for this time in all.
_QUIET, _UNREST = 0.5, 2.0
#: It then takes one part in so many of the time; after a change that cannot be ours, one part in two.
_SHARE = 10


class Guard:
    """Renews the lease, and compares the store with the table when it tells of a change.

    The store tells of the hub's own changes too, and does not say whose a change is. One that comes when we changed
    nothing is somebody else's, and leads to a comparison at once. Any other may be ours: then the comparison, which
    reads the whole store, waits until changes have stopped for a while, and longer the more it costs.
    """

    def __init__(self, backend: Backend, writer: Writer, stored: Reconciler, lease: Lease, log: Any) -> None:
        self._backend = backend
        self._writer = writer
        self._stored = stored
        self._lease = lease
        self._log = log
        self._store_notice, self._watch_notice = Notice(log, _NOTICE_INTERVAL), Notice(log, _NOTICE_INTERVAL)
        self._is_watching = False
        self._changed = asyncio.Event()
        self._tasks = Tasks(log)

    @property
    def knows_the_store(self) -> bool:
        """Whether what the table says is true without asking the store."""
        if not (self._is_watching and self._lease.is_held):
            return False
        return self._lease.is_exclusive or not self._changed.is_set()

    def start(self) -> None:
        """Begin; the store is open."""
        if self._lease.is_exclusive:
            self._tasks.keep(self._keep_lease, "renewing the lease")
        if isinstance(self._backend, SupportsWatch):
            self._tasks.keep(self._watch, "watching the store")
            self._tasks.keep(self._compare, "comparing the store with the table")

    async def close(self) -> None:
        """End. Without a start, do nothing."""
        await self._tasks.close()

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._lease.interval)
            await self._try(self._writer.renew)

    async def _watch(self) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        steady: asyncio.TimerHandle | None = None

        def works() -> None:
            backoff.reset()
            self._watch_notice.over("The store tells of changes again")

        while True:
            try:
                # A watch that has begun anew may have missed something, and tells that it began.
                watch = cast(SupportsWatch, self._backend).watch()
                async with aclosing(watch) as changes:
                    async for _ in changes:
                        if not self._is_watching:
                            steady = asyncio.get_running_loop().call_later(_STEADY, works)
                        self._is_watching = True
                        self._changed.set()
            except BackendError as error:
                metrics.store_failed("watch", error)
                self._watch_notice.wrong(
                    "The store does not tell of changes now, so what others change there is found later. %s", error
                )
            finally:
                if steady:
                    steady.cancel()
                self._is_watching = False
            await backoff.rest()

    async def _compare(self) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            await self._changed.wait()
            while (rest := self._rest()) > 0:
                await asyncio.sleep(rest)
            self._changed.clear()
            try:
                is_compared = await self._try(self._writer.check)
            except BaseException:
                self._changed.set()
                raise
            if is_compared:
                backoff.reset()
            else:
                self._changed.set()
                await backoff.rest()

    def _rest(self) -> float:
        """Seconds until the next comparison."""
        stored, now = self._stored, time.monotonic()
        if stored.changed_at < stored.read_at:
            return stored.read_at + 2 * stored.read_seconds - now
        turn = stored.read_at + max(_SHARE * stored.read_seconds, _QUIET)
        calm = min(stored.changed_at + _QUIET, turn + _UNREST)
        return max(turn, calm) - now

    async def _try(self, work: Callable[[], Any]) -> bool:
        try:
            await work()
        except LeaseLost:
            return False  # it may be free; if not, the next try tells who has it
        except BackendError as error:
            self._store_notice.wrong("No route can be changed now; those that there are stay in service. %s", error)
            return False
        self._store_notice.over("The store can be used again")
        return True
