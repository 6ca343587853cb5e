"""How long something blocks the event loop that the hub shares with its proxy."""

from __future__ import annotations

import asyncio
import time

_TICK = 0.005


class BlockMeter:
    """Sleeps for short times, and records how much longer they took."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._longest = 0.0

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        self._longest = 0.0

    async def stop(self) -> float:
        """The longest block since `start`, in seconds."""
        await asyncio.sleep(2 * _TICK)  # to include a block that just ended
        if self._task:
            self._task.cancel()
            self._task = None
        return self._longest

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK)
            self._longest = max(self._longest, time.monotonic() - before - _TICK)
