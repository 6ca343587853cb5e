"""What the kernel tells of a process in /proc (proc(5)). Every function may be given the id of one that has ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_ENDED = ("Z", "X")
#: In /proc/net/tcp (include/net/tcp_states.h).
_ESTABLISHED = "01"


@dataclass(frozen=True, slots=True)
class Stat:
    """What ``/proc/PID/stat`` tells of a process."""

    #: One letter, such as ``S`` for asleep; it is that of the first thread.
    state: str
    #: User's and system's together, in kernel ticks.
    cpu_time: int
    #: When it was started, in kernel ticks since the machine was: it tells a process from a later one with its id.
    start_time: int


def parse_stat(text: str) -> Stat:
    """Raises ValueError for what is not of the kernel."""
    # The program's name, in brackets, may have brackets and spaces in it.
    fields = text.rpartition(")")[2].split()
    try:
        return Stat(fields[0], int(fields[11]) + int(fields[12]), int(fields[19]))
    except IndexError as error:
        raise ValueError(f"not the stat of a process: {text!r}") from error


def parse_environment(data: bytes) -> dict[str, str]:
    """The variables in ``/proc/PID/environ``."""
    variables = data.decode(errors="replace").split("\0")
    return dict(variable.partition("=")[::2] for variable in variables if variable)


def start_time(pid: int) -> int | None:
    """When the process `pid` was started, as :class:`Stat` has it; None: it has ended."""
    stat = _stat(pid)
    try:
        # While other threads run, they hold its sockets, although the first may have ended.
        is_running = stat and (stat.state not in _ENDED or len(os.listdir(f"/proc/{pid}/task")) > 1)
    except OSError:
        return None
    return stat.start_time if stat and is_running else None


def cpu_time(pid: int) -> int:
    """The CPU time that the process `pid` has used, in kernel ticks; 0 when it has ended."""
    stat = _stat(pid)
    return stat.cpu_time if stat else 0


def has_argument(pid: int, argument: str, user: int | None = None) -> bool:
    """Whether the process `pid` is one of `user` (None: this process's), and was started with `argument`."""
    try:
        # Root could read what any user's process pretends.
        if os.stat(f"/proc/{pid}").st_uid != (os.geteuid() if user is None else user):
            return False
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(argument) in arguments


def pids_with_argument(argument: str) -> list[int]:
    """The processes of this process's user that were started with `argument`, the oldest first."""
    found = [
        (start_time(pid), pid)
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc")))
        if has_argument(pid, argument)
    ]
    return [pid for _, pid in sorted((start, pid) for start, pid in found if start is not None)]


def environment(pid: int) -> dict[str, str]:
    """The environment that the process `pid` was started with.

    Raises OSError when the kernel does not show it, as for a program with capabilities of its own (setcap(8))
    to all but root.
    """
    return parse_environment(Path(f"/proc/{pid}/environ").read_bytes())


def executable(pid: int) -> tuple[str, os.stat_result] | None:
    """The path of the program that the process `pid` runs, and the file that it runs.

    That file may have been deleted, or replaced under its path. None when the kernel does not show it, or when the
    path leads to another file, as that of a process in another mount namespace does.
    """
    link = f"/proc/{pid}/exe"
    try:
        name, program = os.readlink(link), os.stat(link)
        path = name.removesuffix(" (deleted)")
        return (path, program) if path != name or os.path.samestat(os.stat(path), program) else None
    except OSError:
        return None


def descriptor_count(pid: int) -> int:
    """How many file descriptors the process `pid` has open; slow when they are many.

    Raises OSError when the process has ended, or is another user's.
    """
    return len(os.listdir(f"/proc/{pid}/fd"))


def descriptor_path(descriptor: int) -> str:
    """The path by which any process opens what it has open as `descriptor`."""
    return f"/proc/self/fd/{descriptor}"


def path_in(pid: int, path: str) -> Path:
    """Where `path`, which :func:`descriptor_path` gave, leads the process `pid`."""
    return Path(path.replace("/proc/self/", f"/proc/{pid}/", 1))


def connections_to(pid: int, port: int) -> int | None:
    """How many TCP connections are open to this `port` where the process `pid` is; None: it has ended."""
    try:
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return None
    # The number of the line, the near end, the far end, the state, ...
    lines = [line.split() for table in tables for line in table.splitlines()[1:]]
    return sum(int(near.rpartition(":")[2], 16) == port and state == _ESTABLISHED for _, near, _, state, *_ in lines)


def _stat(pid: int) -> Stat | None:
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except OSError:
        return None
