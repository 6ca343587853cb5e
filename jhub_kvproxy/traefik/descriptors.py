"""Counts the file descriptors of Traefik, and tells when it has used them up (proc(5), getrlimit(2))."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Any

from .. import procfs
from ..aio import in_thread
from ..notice import Notice

_REMINDER = 60.0


@dataclass(frozen=True, slots=True)
class Descriptors:
    in_use: int
    limit: int

    @property
    def are_used_up(self) -> bool:
        """Whether there are none left, or next to none: a few come and go while we count."""
        return self.limit - self.in_use <= max(2, self.limit // 100)


def descriptors_of(pid: int) -> Descriptors | None:
    """Those of the process `pid`; None when it has ended, or is another user's. Slow when they are many."""
    try:
        return Descriptors(procfs.descriptor_count(pid), resource.prlimit(pid, resource.RLIMIT_NOFILE)[0])
    except OSError:
        return None


class Shortage:
    """Finds out whether the Traefik with the process id `pid` is silent for want of descriptors, and logs it."""

    def __init__(self, pid: int, log: Any) -> None:
        self._pid = pid
        self._ticks = 0
        self._notice = Notice(log, _REMINDER)

    async def explains_silence(self) -> bool:
        """Whether it has none left, but has used the CPU since the last call: it does not hang."""
        before, self._ticks = self._ticks, procfs.cpu_time(self._pid)
        found = await in_thread(descriptors_of, self._pid)
        if found is None or not found.are_used_up or self._ticks == before:
            return False
        self._notice.wrong(
            "Traefik (pid %d) has used up its %d file descriptors: new connections wait until others end. "
            "Start the hub, or the container it is in, with a higher limit (LimitNOFILE in its systemd unit, "
            "ulimit -Hn). KVProxy.header_timeout and KVProxy.timeout bound how long silent clients keep theirs.",
            self._pid,
            found.limit,
        )
        return True

    def over(self) -> None:
        """It has answered."""
        self._notice.over(f"Traefik (pid {self._pid}) has file descriptors again")
