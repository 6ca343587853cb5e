"""Processes in the pods of our own node."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ..errors import BenchmarkError

_HIERARCHIES = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))


def kill(cgroup: str, pod_uid: str, words: str) -> int:
    """Kill the process of a pod whose command line has `words`, as a crash would; returns its id.

    `cgroup` is that of all pods. Raises BenchmarkError if there is not one.
    """
    found = [pid for pid in _processes(cgroup, pod_uid) if words in _command(pid)]
    if not found:
        raise BenchmarkError(f"no process of the pod {pod_uid} is {words!r}")
    os.kill(min(found), signal.SIGKILL)
    return min(found)


def _processes(cgroup: str, pod_uid: str) -> list[int]:
    root = next(path for path in _HIERARCHIES if (path / cgroup).is_dir()) / cgroup
    return [
        int(pid)
        for directory in root.rglob(f"pod{pod_uid}")
        for file in directory.rglob("cgroup.procs")
        for pid in file.read_text().split()
    ]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
