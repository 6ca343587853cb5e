"""Keeps the store as the hub left it, and the lease, while nobody calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, cast

from .. import metrics
from ..errors import BackendError, LeaseLost
from ..notice import Notice
from .contract import Backend, SupportsWatch
from .lease import Lease
from .reconciler import StoredTable
from .writer import Writer

_NOTICE_INTERVAL = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
_CANCEL_INTERVAL = 0.1
#: After changes of ours a comparison waits until none has come for so long, or at most for this time in all.
_QUIET, _UNREST = 0.5, 2.0
#: It then takes one part in so many of the time; after a change that cannot be ours, one part in two.
_SHARE = 10


class Guard:
    """Renews the lease, and compares the store with the table when it tells of a change.

    It also tells of ours, and does not say which is whose. One that comes when we changed nothing is somebody
    else's, and is looked at now. Any other may be ours: then the comparison, which reads the whole store, comes
    when things have calmed down, or after a while, the longer the more it costs.
    """

    def __init__(self, backend: Backend, writer: Writer, stored: StoredTable, lease: Lease, log: Any) -> None:
        self._backend = backend
        self._writer = writer
        self._stored = stored
        self._lease = lease
        self._log = log
        self._notice = Notice(log, _NOTICE_INTERVAL)
        self._is_watching = False
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False

    @property
    def knows_the_store(self) -> bool:
        """Whether what the table says is true without asking the store."""
        if not (self._is_watching and self._lease.is_held):
            return False
        return self._lease.is_exclusive or not self._changed.is_set()

    def start(self) -> None:
        """Begin; the store is open."""
        self._is_closing = False
        if self._lease.is_exclusive:
            self._run(self._keep_lease)
        if isinstance(self._backend, SupportsWatch):
            self._run(self._watch)
            self._run(self._compare)

    async def close(self) -> None:
        """End. Without a start, do nothing."""
        self._is_closing = True  # a driver may make something else of the cancellation
        tasks, self._tasks = set(self._tasks), []
        while tasks:
            for task in tasks:
                task.cancel()
            # More than once: Python 3.11's wait_for, in a driver, may swallow it.
            _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_INTERVAL)

    def _run(self, work: Callable[[], Any]) -> None:
        self._tasks.append(asyncio.create_task(work()))

    async def _keep_lease(self) -> None:
        while not self._is_closing:
            await asyncio.sleep(self._lease.interval)
            await self._try(self._writer.renew)

    async def _watch(self) -> None:
        pause = _FIRST_PAUSE
        while not self._is_closing:
            try:
                # A watch that has begun anew may have missed something, and tells that it began.
                watch = cast(AsyncGenerator[None], cast(SupportsWatch, self._backend).watch())
                async with aclosing(watch) as changes:
                    async for _ in changes:
                        self._is_watching, pause = True, _FIRST_PAUSE
                        self._changed.set()
            except BackendError as error:
                metrics.store_failed("watch", error)
                self._wrong(error)
            except Exception:
                self._log.exception("The watch of the store failed")
            finally:
                self._is_watching = False
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _compare(self) -> None:
        pause = _FIRST_PAUSE
        while not self._is_closing:
            await self._changed.wait()
            while (rest := self._rest()) > 0:
                await asyncio.sleep(rest)
            self._changed.clear()
            if await self._try(self._writer.check):
                pause = _FIRST_PAUSE
            else:
                self._changed.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

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
            self._wrong(error)
            return False
        except Exception:
            self._log.exception("Looking after the store failed")
            return False
        self._notice.over("The store can be used again")
        return True

    def _wrong(self, error: BackendError) -> None:
        self._notice.wrong("No route can be changed now; those that there are stay in service. %s", error)
