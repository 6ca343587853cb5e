"""What the kernel tells of a process (proc(5)). Every function may be given the id of one that has ended."""

from __future__ import annotations

import os
from pathlib import Path


def born(pid: int) -> str | None:
    """When the process `pid` was started, in kernel ticks, which tells it from a later one; None: it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return None
    # The first thread may be a zombie while others still hold the sockets.
    return None if fields[0] in "ZX" and len(threads) == 1 else fields[19]


def is_ours(pid: int, argument: str) -> bool:
    """Whether the process `pid` is of this process's user, and was started with `argument`."""
    try:
        # Root could read what any user's process pretends.
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return False
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(argument) in arguments


def environment(pid: int) -> dict[str, str]:
    """The environment that the process `pid` was started with.

    Raises OSError when the kernel does not show it, as for a program with capabilities of its own (setcap(8))
    to all but root.
    """
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(variable.partition("=")[::2] for variable in variables)


def executable(pid: int) -> tuple[str, os.stat_result] | None:
    """The path of the program that the process `pid` runs, and that program itself, which may have lost its name.

    None when the kernel does not show it, or when the path leads elsewhere, as that of a process in another
    mount namespace does.
    """
    link = f"/proc/{pid}/exe"
    try:
        name, program = os.readlink(link), os.stat(link)
        path = name.removesuffix(" (deleted)")
        return (path, program) if path != name or os.path.samestat(os.stat(path), program) else None
    except OSError:
        return None
