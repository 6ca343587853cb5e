"""What a Traefik was started from, and whether the same would be started now."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import procfs

#: Inode, size, and time of the last change in nanoseconds. The device is left out: an image that is mounted again
#: has another one.
File = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Program:
    """What a Traefik was started from. The command may be a wrapper, so the program that runs is looked at too.

    What is empty is not known, and is not compared.
    """

    #: A hash of the command's words, which may have secrets among them.
    command: str = ""
    version: str = ""
    #: The file of the command and that of the program that runs, by their paths, as they were.
    files: Mapping[str, File] = field(default_factory=dict)

    @classmethod
    def of(cls, command: Sequence[str]) -> Program:
        """What `command` would start now, but for its version."""
        words = json.dumps([os.path.realpath(command[0]), *command[1:]]).encode()
        return cls(hashlib.sha256(words).hexdigest(), "", _files(command[0]))

    def running_as(self, pid: int) -> Program:
        """The same, with what the kernel tells of the process `pid` that was started from it."""
        found = procfs.executable(pid)
        if found is None:
            return self
        path, program = found
        return replace(self, files={**self.files, path: _identity(program)})

    def difference(self, now: Program) -> str:
        """Why a Traefik that was started from this is another than `now` would be, in words; empty: it is not."""
        for path, file in self.files.items():
            at_present = _files(path).get(path)
            if at_present != file:
                return f"{path} has been {'replaced' if at_present else 'removed'}"
        if self.command and self.command != now.command:
            return "KVProxy.traefik_cmd is another command now"
        if self.version and self.version != now.version:
            return "KVProxy.traefik_cmd starts another version now"
        return ""

    def to_json(self) -> dict[str, Any]:
        return {"command": self.command, "version": self.version, "files": self.files}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Program:
        """The inverse of :meth:`to_json`. Nothing is known when `data` is that of an older release, or damaged."""
        match data:
            case {"command": str(command), "version": str(version), "files": dict(files)}:
                with contextlib.suppress(TypeError, ValueError, OverflowError):
                    return cls(command, version, {path: _file(*file) for path, file in files.items()})
        return cls()


def _files(path: str) -> dict[str, File]:
    try:
        return {path: _identity(os.stat(path))}
    except OSError:
        return {}


def _file(inode: int, size: int, changed: int) -> File:
    return (int(inode), int(size), int(changed))


def _identity(file: os.stat_result) -> File:
    return (file.st_ino, file.st_size, file.st_mtime_ns)
