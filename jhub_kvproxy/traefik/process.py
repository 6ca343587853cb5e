"""One process that runs Traefik: whether it runs, what ends it, and how it ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time

from .. import procfs

_INTERVAL = 0.01


class Process:
    """The process `pid`, which is `child` if we started it. It is watched until :meth:`close`.

    No signal reaches another process that has got its id: it is held by a pidfd (pidfd_open(2)). Where the kernel or
    a sandbox has none, its id and start time tell it from others.
    """

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._child = child
        self._pidfd = _pidfd_of(pid)
        self._start_time = procfs.start_time(pid)

    @property
    def status(self) -> int | None:
        """The exit status of one that we started and that has ended; below 0: minus the signal that ended it."""
        return self._child.returncode if self._child else None

    def is_running(self) -> bool:
        if self._child:
            return self._child.poll() is None  # which reaps it, too
        if self._pidfd is not None:
            return not self._has_ended_within(0)
        return self._start_time is not None and procfs.start_time(self.pid) == self._start_time

    def kill(self) -> None:
        """Force it to end, without waiting for that."""
        self._send(signal.SIGKILL)

    def end(self, patience: float) -> None:
        """Ask it to end, and `patience` seconds later force it. Blocks until it has ended."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._send(number)
            if self.wait(patience):
                return

    def wait(self, patience: float) -> bool:
        """Whether it ends within `patience` seconds. Blocks."""
        deadline = time.monotonic() + patience
        while self.is_running():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._pidfd is None:
                time.sleep(min(_INTERVAL, left))
            else:
                self._has_ended_within(left)
        return True

    def close(self) -> None:
        """Watch it no more; it may run on."""
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is not None:
            os.close(pidfd)

    def _send(self, number: signal.Signals) -> None:
        if not self.is_running():
            return
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            if self._pidfd is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(self._pidfd, number)

    def _has_ended_within(self, seconds: float) -> bool:
        assert self._pidfd is not None
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def _pidfd_of(pid: int) -> int | None:
    """None where there are no pidfds, or they cannot be used to send a signal."""
    with contextlib.suppress(OSError, AttributeError):
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, 0)
        except ProcessLookupError:
            return pidfd  # it has just ended
        except OSError:
            os.close(pidfd)
            return None
        return pidfd
    return None
