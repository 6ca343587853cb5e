"""A wall clock that is wrong, for one process. A fake: the kernel, and so the times of files, know the right time."""

from __future__ import annotations

import datetime
import time
from typing import Any


def set_ahead(seconds: float) -> None:
    """Let modules that are imported from now on, and the log, find the wall clock `seconds` ahead."""
    right_time, right_ns, right_clock, right_datetime = time.time, time.time_ns, time.clock_gettime, datetime.datetime
    ahead = datetime.timedelta(seconds=seconds)

    class Ahead(right_datetime):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return right_datetime.now(tz) + ahead

        @classmethod
        def utcnow(cls) -> Any:
            return right_datetime.now(datetime.UTC).replace(tzinfo=None) + ahead

    time.time = lambda: right_time() + seconds
    time.time_ns = lambda: right_ns() + int(seconds * 1e9)
    time.clock_gettime = lambda clock: right_clock(clock) + (seconds if clock == time.CLOCK_REALTIME else 0)
    datetime.datetime = Ahead  # type: ignore[misc]
