"""One writer: the lease of the store, which one hub at a time has."""

from __future__ import annotations

import math
import os
import socket
import time
from typing import Any

from .. import metrics
from ..errors import BackendUnavailable, LeaseHeld
from .contract import Backend, SupportsLease

#: A lease lasts so many times as long as the store takes to grant it: else it runs out while we read and write.
_MARGIN = 6
#: But no more than so many times `KVProxy.lease_seconds`.
_LONGEST = 8
#: A slow grant, one for longer, and one for less again.
_GRANTS = 3


class Lease:
    """The right to write, for `seconds` from each time that the store grants it, or longer if the store is slow.

    With a backend that has no lease, or with 0 `seconds`, everybody may write, always. `who` is told to those who want
    to write too.
    """

    def __init__(self, backend: Backend, seconds: float, log: Any, *, who: str = "The hub") -> None:
        self._backend = backend if seconds > 0 and isinstance(backend, SupportsLease) else None
        self._seconds = seconds
        self._log = log
        self._holder = f"{who} with process {os.getpid()} on {socket.gethostname()}"
        #: Whether another had it when the store was asked last.
        self.is_anothers = False
        self._ends = 0.0
        #: Whether it was not ours for a while, and nobody was told.
        self._had_gap = False
        #: The seconds to ask for, and those that it was granted for: `_seconds`, or 2, 4 or 8 times as many.
        self._wanted = self._granted = seconds

    @property
    def interval(self) -> float:
        """Seconds after which to ask for it again: two more tries may then fail before it runs out."""
        return self._granted / 3

    @property
    def is_exclusive(self) -> bool:
        """Whether who has it is the only one who may write."""
        return self._backend is not None

    @property
    def is_held(self) -> bool:
        return self._backend is None or _clock() < self._ends

    async def hold(self) -> bool:
        """Have it from now on; whether it was ours all the time until now.

        If not, another hub may have changed the table. Raises :class:`~jhub_kvproxy.errors.LeaseHeld` when another
        has it, :class:`~jhub_kvproxy.errors.BackendUnavailable` when granting it takes longer than it lasts, or
        whatever the backend does.
        """
        for _ in range(_GRANTS):
            if self._backend is None or not self._is_due:
                break
            await self._renew(self._backend)
        had_gap, self._had_gap = self._had_gap, False
        if had_gap:
            self._log.info("This hub may write to the store, as the only one")
        return not had_gap

    @property
    def _is_due(self) -> bool:
        """Whether to ask again now: too little of it is left, or it is longer than it needs to be."""
        return self._wanted < self._granted or self._ends - _clock() <= self._granted - self.interval

    async def _renew(self, backend: SupportsLease) -> None:
        """Ask for it once."""
        now, seconds = _clock(), self._wanted
        try:
            with metrics.store_call("lease"):
                await backend.acquire_lease(self._holder, seconds)
        except LeaseHeld:
            self.is_anothers = True
            self.lost()
            raise
        self.is_anothers = False
        took = _clock() - now
        if took >= seconds:
            raise BackendUnavailable(
                f"The store took {took:.1f} s to grant the lease, which lasts {seconds:g} s; set "
                f"KVProxy.lease_seconds to {math.ceil(took * 4)} or more, or find out what makes the store slow."
            )
        before, self._granted = self._granted, seconds
        ended, self._ends = self._ends, now + seconds
        self._had_gap |= ended <= _clock()
        self._adapt(took)
        if self._wanted >= self._granted > before:
            self._log.warning(
                "The store took %.1f s to grant the lease, so this hub asks for %g s instead of the %g s of "
                "KVProxy.lease_seconds. Route changes take longer; find out what makes the store slow.",
                took,
                self._granted,
                self._seconds,
            )

    def _adapt(self, took: float) -> None:
        """Ask for longer next time if the store took long to grant it, or for less if it took much less.

        What is longer stays only if the store takes long to grant that, too: the hub that waits for it after a crash
        should not have to wait longer because the store was slow once.
        """
        if (longer := self._suits(took)) > self._wanted:
            self._wanted = longer
        elif (shorter := self._suits(2 * took)) < self._wanted:
            self._wanted = shorter

    def _suits(self, took: float) -> float:
        """The seconds to ask for when the store takes `took` seconds to grant them."""
        seconds = self._seconds
        while seconds < min(_MARGIN * took, _LONGEST * self._seconds):
            seconds *= 2
        return seconds

    def lost(self) -> None:
        """It is ours no longer."""
        self._ends = 0.0


def _clock() -> float:
    # It goes on while the machine sleeps, as the store's clock does.
    return time.clock_gettime(time.CLOCK_BOOTTIME)
