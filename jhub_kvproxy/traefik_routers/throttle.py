"""Spaces out commits, because Traefik rebuilds all its routers after each."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from ..aio import cancel
from ..errors import RouteNotReady
from ..push.readiness import Readiness
from ..routing.revision import Revision

# So many changes one after another need not wait, however long each takes Traefik.
_FREE = 4
# Nobody's change waits longer than that for the sake of others' requests.
_LONGEST_REST = 3.0
# A replica that lags behind does not hold up the others for longer.
_LONGEST_REBUILD = 5.0


class CommitThrottle:
    """Says when the next commit may be made: at once if Traefik has nothing to do, otherwise when it is done.

    And when it has rested, so that it spends no more than `share` of its time on rebuilding in the long run.
    """

    def __init__(self, share: float, readiness: Readiness) -> None:
        self._share = share
        self._readiness = readiness
        self._busy: asyncio.Task[None] | None = None
        # Until when the rebuilds so far take up the share.
        self._spent_until = 0.0

    def committed(self, revision: Revision) -> None:
        """`revision` has been committed just now."""
        if self._busy:
            self._busy.cancel()
        if not self._readiness.replicas:  # as when the hub ends
            return
        self._busy = asyncio.create_task(self._rebuild(revision), name="waiting for Traefik to rebuild its routers")

    async def turn(self) -> None:
        """Wait until the next commit may be made."""
        while (busy := self._busy) and not busy.done():
            await asyncio.wait([busy])

    async def close(self) -> None:
        if self._busy:
            await cancel([self._busy])

    async def _rebuild(self, revision: Revision) -> None:
        started = time.monotonic()
        with suppress(RouteNotReady):
            await self._readiness.wait(revision, None, _LONGEST_REBUILD, for_silent_ones=False, for_fresh_answers=True)
        now = time.monotonic()
        spent = (now - started) / self._share
        free = now + _FREE * spent
        self._spent_until = min(max(self._spent_until, started) + spent, free + _LONGEST_REST)
        await asyncio.sleep(self._spent_until - free)
