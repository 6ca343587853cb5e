"""What the next hub must know of a Traefik to find it again: the file ``traefik.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checksum import read_checked, with_checksum
from .program import Program

_NAMES = ("pid", "api_port", "command", "version", "files", "written", "term")
#: The largest that the kernel gives (pid_max, proc(5)).
_LARGEST_PID = 1 << 22


@dataclass(frozen=True, slots=True)
class State:
    """A Traefik that was started."""

    pid: int
    api_port: int
    program: Program
    #: The files that were written for it in its runtime directory, relative to that.
    written: tuple[str, ...] = ()
    #: The term of the hub that it belongs to (:class:`~jhub_kvproxy.routing.revision.Revision`).
    term: int = 0

    @classmethod
    def read(cls, file: Path) -> State | None:
        """What :meth:`to_bytes` gave, in this release or an older one; None when there is none, or it is damaged."""
        try:
            data, _ = read_checked(file.read_bytes(), _NAMES)
        except (OSError, ValueError, RecursionError):
            return None
        match data:
            case {"pid": int(pid), "api_port": int(port)} if 0 < pid <= _LARGEST_PID and 0 < port < 1 << 16:
                written = _written(data.get("written", []))
                term = data.get("term", 0)
                if written is not None and isinstance(term, int):
                    return cls(pid, port, Program.from_json(data), written, term)
        return None

    def to_bytes(self) -> bytes:
        """As one line of JSON."""
        data = {
            "pid": self.pid,
            "api_port": self.api_port,
            **self.program.to_json(),
            "written": self.written,
            "term": self.term,
        }
        return with_checksum(json.dumps(data).removesuffix("}").encode() + b", ")

    def files(self, directory: Path) -> set[Path]:
        """What was written for it in `directory`."""
        return {directory / name for name in self.written}


def relative(files: Iterable[Path], directory: Path) -> tuple[str, ...]:
    """Those of `files` that are in `directory`, relative to it."""
    return tuple(sorted(str(file.relative_to(directory)) for file in files if file.is_relative_to(directory)))


def _written(names: Any) -> tuple[str, ...] | None:
    if not isinstance(names, list):
        return None
    # Whatever the file says, nothing elsewhere is removed.
    return tuple(name for name in map(str, names) if not name.startswith("/") and ".." not in name.split("/"))
