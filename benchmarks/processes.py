"""Starts processes that end with us, ends them by their id, and measures what they cost."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import BenchmarkError

_PAGE = os.sysconf("SC_PAGE_SIZE")
# Of a process, all its threads, the ended ones too (clock_getcpuclockid(3)): /proc counts in hundredths of a second.
_CPU_CLOCK = 2
_PATIENCE = 30.0
_given_out: set[int] = set()


def free_port() -> int:
    """A free port that was not given out before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given_out:
            _given_out.add(port)
            return port


def tied(command: Sequence[str], signal: str = "TERM") -> list[str]:
    """`command` so that the kernel ends it, with `signal`, when we are killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal, *command] if setpriv else list(command)


class Server:
    """A server in the background, from its construction to :meth:`stop`."""

    def __init__(self, name: str, command: Sequence[str], log: Path, *, cwd: Path | None = None) -> None:
        self._name = name
        self._log = log
        with log.open("ab") as output:
            # Its own session: only we get Ctrl-C, and end it.
            self._process = subprocess.Popen(
                tied(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for_port(self, port: int) -> None:
        """Wait until it accepts connections. Raises BenchmarkError with the end of its log."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"{self._name} does not start: {last_words(self._log)}")
            time.sleep(0.01)

    def stop(self) -> None:
        end(self._process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child of ours, at once if it does not end by itself."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_words(log: Path) -> str:
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return text[-500:] or "its log is empty"


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of CPU that some processes have used so far, and bytes of memory (RSS) that they hold now."""

    cpu: float
    memory: int


def usage(pids: Sequence[int]) -> Usage:
    """The usage of the processes `pids` together; ended ones count as nothing."""
    cpu, memory = 0.0, 0
    for pid in pids:
        with contextlib.suppress(OSError):
            cpu += time.clock_gettime(~pid << 3 | _CPU_CLOCK)
            memory += int(_stat(pid)[21]) * _PAGE
    return Usage(cpu, memory)


def is_running(pid: int) -> bool:
    """Whether there is such a process, which has not ended."""
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def descendants(pid: int) -> dict[int, str]:
    """The processes that `pid` started, and they started, by id, with their names."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
                names[int(entry.name)] = (entry / "comm").read_text().strip()
    found: dict[int, str] = {}
    wanted = {pid}
    while wanted:
        wanted = {child for child, parent in parents.items() if parent in wanted and child not in found}
        found |= {child: names[child] for child in wanted}
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
