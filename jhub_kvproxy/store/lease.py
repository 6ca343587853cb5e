"""One writer: the lease of the store, which one hub at a time has."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from .. import metrics
from ..errors import LeaseHeld
from .contract import Backend, SupportsLease


class Lease:
    """The right to write, for `seconds` from each time that the store grants it.

    With a backend that has no lease, or with 0 `seconds`, everybody may write, always.
    """

    def __init__(self, backend: Backend, seconds: float, log: Any) -> None:
        self._backend = backend if seconds > 0 and isinstance(backend, SupportsLease) else None
        self._seconds = seconds
        self._log = log
        self._ends = 0.0
        #: Seconds after which to ask for it again: two more tries may then fail before it runs out.
        self.interval = seconds / 3

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
        has it, or whatever the backend does.
        """
        now = _clock()
        if self._backend is None or self._ends - now > self._seconds - self.interval:
            return True
        try:
            with metrics.store_call("lease"):
                await self._backend.acquire_lease(_holder(), self._seconds)
        except LeaseHeld:
            self.lost()
            raise
        ended, self._ends = self._ends, now + self._seconds
        is_ours_still = _clock() < ended
        if not is_ours_still:
            self._log.info("This hub may write to the store, as the only one")
        return is_ours_still

    def lost(self) -> None:
        """It is ours no longer."""
        self._ends = 0.0


def _holder() -> str:
    return f"The hub with process {os.getpid()} on {socket.gethostname()}"


def _clock() -> float:
    # It goes on while the machine sleeps, as the store's clock does.
    return time.clock_gettime(time.CLOCK_BOOTTIME)
