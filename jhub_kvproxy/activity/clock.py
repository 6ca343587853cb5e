"""The clock by which times of use are kept, and what they are by the time of day, which somebody may set."""

from __future__ import annotations

import time

#: A time before all others: no use is known.
NEVER = float("-inf")
# Seconds. The time of day is slewed to be right, and the two clocks are not read at once.
_TOLERANCE = 0.1


def steady() -> float:
    """The seconds since this machine was started, also while it slept. Nobody sets this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class TimeOfDay:
    """Tells what times of :func:`steady` are by the time of day, as it is set now.

    The same time is told in the same way, to the millisecond, until the time of day is set.
    """

    def __init__(self) -> None:
        self._started = time.time() - steady()

    def at(self, instant: float) -> float:
        """`instant` as :func:`time.time` tells times; never later than now, nor before 1970."""
        before, now, after = steady(), time.time(), steady()
        started = now - after
        if abs(started - self._started) > _TOLERANCE + after - before:
            self._started = started
        return max(0.0, min(now, self._started + instant))
