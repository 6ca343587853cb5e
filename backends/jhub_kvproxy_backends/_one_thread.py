"""Blocking work in a thread, with a time limit, and one call at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from jhub_kvproxy import in_thread

T = TypeVar("T")


class StillBusy(TimeoutError):
    """The thread of an earlier call has not ended within the time limit, so this call has not begun."""


class OneThread:
    """Runs calls in a thread, each only after the thread of the one before has ended.

    Nothing can stop a thread, so it may go on after its caller has given up or was cancelled.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._running: asyncio.Task[Any] | None = None

    async def run(self, work: Callable[[], T], limit: float) -> T:
        """What `work` returns. Raises TimeoutError after `limit` seconds, and its subclass :class:`StillBusy`.

        A caller that is cancelled waits for the thread too, for as long.
        """
        call = asyncio.create_task(self._run(work))
        try:
            await asyncio.wait({call}, timeout=limit)
            if call.done():
                return call.result()
            raise (TimeoutError if self._running is call else StillBusy)
        except asyncio.CancelledError:
            call.cancel()
            await asyncio.wait({call}, timeout=limit)
            raise
        finally:
            # A call that has begun gives up its turn only when its thread has ended.
            call.cancel()

    async def _run(self, work: Callable[[], T]) -> T:
        async with self._turn:
            self._running = asyncio.current_task()
            return await in_thread(work)
