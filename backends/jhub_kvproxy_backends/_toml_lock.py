"""The lock of the table's directory, which a process that is stopped cannot keep for ever."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from jhub_kvproxy import BackendUnavailable

_INTERVAL = 0.005
#: Seconds after which who has the lock the whole time may be broken in on.
_STALLED = 1.0
_START, _END = ".", ".tmp"


class TableLock:
    """Lets one process at a time change the files in `directory`.

    It is a ``flock`` on the file ``lock``, or on the one of ``lock.1``, ``lock.2``, ... with the highest number.
    Whoever has it makes a directory, the workshop, and changes a file only by renaming from there, or to there.

    The kernel keeps the lock of a process that is stopped. So others may break in: they add the file with the next
    number, and lock that. Whoever gets a lock first renames all workshops but its own, so that nobody who had a lock
    before can change a file. One who makes its workshop too late for that looks for a higher number afterwards, and
    finds it. So a break-in is safe at any moment, and two who break in at once lock the same file, one after the other.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        #: Who was found to have the lock, and since when; also by earlier calls, which have given up.
        self._seen: tuple[int, frozenset[str]] | None = None
        self._since = 0.0

    def check_permission(self) -> None:
        """Raise PermissionError if this process may not change the files."""
        with suppress(FileNotFoundError):  # whoever has the lock removes it
            os.rmdir(self._make_workshop())

    @contextmanager
    def held(self, timeout: float, may_break_in: Callable[[], bool]) -> Iterator[Path]:
        """Have the lock; the value is the workshop. Raises BackendUnavailable after `timeout` seconds.

        If one process has the lock all the time, and `may_break_in`, break in. Raises BackendUnavailable, too, when
        others have broken in on us, and a change has failed by it.
        """
        lock, workshop = self._take(timeout, may_break_in)
        try:
            with lock:
                yield workshop
        except FileNotFoundError as error:
            if workshop.exists():
                raise
            raise BackendUnavailable(
                f"This process was stopped, or too slow, while it changed {self._directory}; another one goes on there."
            ) from error
        finally:
            shutil.rmtree(workshop, ignore_errors=True)

    def discard(self, workshop: Path) -> None:
        """Remove the files of the lock, whose holder's `workshop` this is: the last thing that it does here."""
        for number in self._numbers():
            with suppress(FileNotFoundError):
                os.rename(self._file(number), workshop / f"lock.{number}")

    def _take(self, timeout: float, may_break_in: Callable[[], bool]) -> tuple[TextIO, Path]:
        deadline = time.monotonic() + timeout
        while True:
            number = self._newest()
            if taken := self._try(number):
                self._seen = None
                return taken
            now, found = time.monotonic(), (number, self._workshops())
            if found != self._seen:
                self._seen, self._since = found, now
            elif now - self._since > _STALLED:
                self._since = now
                if may_break_in():
                    self._file(number + 1).touch(0o600)
                    continue
            if now > deadline:
                raise BackendUnavailable(
                    f"Another process has held {self._file(number)} for {timeout:g} s; "
                    "find it with fuser, or raise TomlBackend.timeout."
                )
            time.sleep(_INTERVAL)

    def _try(self, number: int) -> tuple[TextIO, Path] | None:
        """Take the lock with this number, if nobody has it, and it counts."""
        with ExitStack() as stack:
            lock = stack.enter_context(open(self._file(number), "a", opener=_private))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            workshop = self._make_workshop()
            stack.callback(shutil.rmtree, workshop, ignore_errors=True)
            if self._newest() != number:
                return None
            self._lock_others_out(number, workshop)
            stack.pop_all()
            return lock, workshop

    def _lock_others_out(self, number: int, workshop: Path) -> None:
        for name in self._workshops() - {workshop.name}:
            away = self._directory / f"{_START}{secrets.token_hex(8)}{_END}"
            with suppress(FileNotFoundError):  # its owner has removed it
                os.rename(self._directory / name, away)
            if away.is_dir():
                shutil.rmtree(away, ignore_errors=True)
            else:  # a file of an older release
                away.unlink(missing_ok=True)
        for older in self._numbers() - {number}:
            self._file(older).unlink(missing_ok=True)

    def _make_workshop(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._directory, prefix=_START, suffix=_END))

    def _workshops(self) -> frozenset[str]:
        names = os.listdir(self._directory)
        return frozenset(name for name in names if name.startswith(_START) and name.endswith(_END))

    def _numbers(self) -> set[int]:
        names = (name.partition("lock") for name in os.listdir(self._directory))
        ends = (end for start, found, end in names if found and not start)
        return {int(end[1:] or 0) for end in ends if not end or (end[0] == "." and end[1:].isdecimal())}

    def _newest(self) -> int:
        return max(self._numbers(), default=0)

    def _file(self, number: int) -> Path:
        return self._directory / (f"lock.{number}" if number else "lock")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
