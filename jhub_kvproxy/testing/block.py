"""Measures how long the event loop is blocked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

_INTERVAL = 0.001


class Block:
    """The result of :func:`longest_block`."""

    def __init__(self) -> None:
        #: The longest time, in seconds, for which the event loop ran nothing else.
        self.seconds = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def _wait(self) -> None:
        self._due = time.perf_counter() + _INTERVAL
        self._timer = asyncio.get_running_loop().call_later(_INTERVAL, self._tick)

    def _tick(self) -> None:
        self._look()
        self._wait()

    def _look(self) -> None:
        self.seconds = max(self.seconds, time.perf_counter() - self._due)

    def _end(self) -> None:
        self._look()
        if self._timer:
            self._timer.cancel()


@contextmanager
def longest_block() -> Iterator[Block]:
    """Measure the longest time for which the block's code, in a coroutine, blocks the event loop.

    Look at the result, but do not assert on it: a busy machine adds to it. A driver's share should be below 50 ms.
    """
    block = Block()
    block._wait()
    try:
        yield block
    finally:
        block._end()
