"""Paces commits, because Traefik rebuilds all its routers after each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from ..routing.revision import Revision

# So many changes one after another need not wait, however long each takes Traefik.
_FREE = 4
# Nobody's change waits longer than that for the sake of others' requests.
_LONGEST_REST = 3.0


class Pace:
    """Says when the next commit may be made: at once when Traefik has nothing to do, otherwise when it is done.

    And when it has rested, so that it spends no more than `share` of its time on rebuilding in the long run.
    `is_live` returns when all that are up serve a revision.
    """

    def __init__(self, share: float, is_live: Callable[[Revision], Awaitable[None]]) -> None:
        self._share = share
        self._is_live = is_live
        self._busy: asyncio.Task[None] | None = None
        # Until when the rebuilds so far take up the share.
        self._spent_until = 0.0

    def committed(self, revision: Revision) -> None:
        """`revision` has been committed just now."""
        if self._busy:
            self._busy.cancel()
        self._busy = asyncio.create_task(self._rebuild(revision))

    async def turn(self) -> None:
        """Wait until the next commit may be made."""
        while (busy := self._busy) and not busy.done():
            await asyncio.wait([busy])

    async def close(self) -> None:
        if self._busy:
            self._busy.cancel()
            await asyncio.wait([self._busy])

    async def _rebuild(self, revision: Revision) -> None:
        started = time.monotonic()
        await self._is_live(revision)
        now = time.monotonic()
        spent = (now - started) / self._share
        free = now + _FREE * spent
        self._spent_until = min(max(self._spent_until, started) + spent, free + _LONGEST_REST)
        await asyncio.sleep(self._spent_until - free)
