"""What processes cost, and which they are."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
# Of a process, all its threads, the ended ones too (clock_getcpuclockid(3)): /proc counts in hundredths of a second.
_CPU_CLOCK = 2


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of CPU that some processes have used so far, and bytes of memory (RSS) that they hold now."""

    cpu: float
    memory: int


def usage(pids: Sequence[int]) -> Usage:
    """The usage of the processes `pids` together; ended ones count as nothing.

    Memory that processes of one program share, and the program itself, count once.
    """
    cpu, own = 0.0, 0
    shared: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            cpu += time.clock_gettime(~pid << 3 | _CPU_CLOCK)
            resident, of_others = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
            program = Path(f"/proc/{pid}/comm").read_text()
            own += resident - of_others
            shared[program] = max(of_others, shared.get(program, 0))
    return Usage(cpu, (own + sum(shared.values())) * _PAGE)


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
