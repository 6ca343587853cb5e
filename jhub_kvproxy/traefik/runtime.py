"""The directory of one Traefik: writes, finds and removes the files there."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .. import procfs
from ..files import write_atomically
from .state import State

#: Traefik inherits its static configuration as this descriptor, or the next one that is free here.
_DESCRIPTOR = 64


class RuntimeDirectory:
    """The files in `path`, an absolute path; Traefik works there. Every method may raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: For people to read. Traefik reads its configuration from memory, by the link.
        self.static_file = path / "traefik.toml"
        self.static_link = path / "traefik-with-secrets.toml"
        self.state_file = path / "traefik.json"
        self._held: int | None = None

    @property
    def own_files(self) -> frozenset[Path]:
        """What every Traefik of ours has here."""
        return frozenset({self.static_file, self.static_link, self.state_file})

    @property
    def config_argument(self) -> str:
        """The argument that names the static configuration, by which we know a Traefik of ours."""
        return f"--configFile={self.static_link}"

    def write(self, files: Mapping[Path, bytes]) -> None:
        """Give each of `files`, here or elsewhere, its content; directories are made for their owner only.

        A file that has its content already is left alone.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, content in files.items():
            if not _has(path, content):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_atomically(path, content)

    def write_state(self, state: State) -> None:
        self.write({self.state_file: state.to_bytes()})

    def remove(self, files: Iterable[Path]) -> None:
        """Remove `files`, and each directory here, this one too, that is empty then.

        If some cannot be removed, the others are all the same, and the error is that of the first.
        """
        directories, errors = set(), []
        for path in sorted(files):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                errors.append(error)
            directories |= {parent for parent in path.parents if parent.is_relative_to(self.path)}
        for directory in sorted(directories, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):  # it may hold what others put there
                directory.rmdir()
        if errors:
            raise errors[0]

    @contextlib.contextmanager
    def in_memory(self, config: bytes) -> Iterator[int]:
        """A file in memory with the static configuration. A process that inherits it opens it by the link.

        Traefik reads its static configuration from one place only, so secrets cannot come beside a file, in its
        environment (cmd/traefik/traefik.go, loaders).
        """
        with open(os.memfd_create("traefik"), "w+b") as memory, open(os.devnull, "rb") as nothing:
            memory.write(config)
            memory.flush()
            held = self._hold(memory.fileno())
            try:
                target = procfs.descriptor_path(held)
                if not (self.static_link.is_symlink() and os.readlink(self.static_link) == target):
                    self.static_link.unlink(missing_ok=True)
                    self.static_link.symlink_to(target)
                yield held
            finally:
                os.dup2(nothing.fileno(), held, inheritable=False)  # the secrets are for Traefik only

    def close(self) -> None:
        """Release the descriptor that is held for the next Traefik."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def _hold(self, memory: int) -> int:
        """The descriptor of the file `memory`, which is the one that the link leads to if that is ours or free.

        It is held for the next Traefik: so the link stays as it is, and Traefik is started again on a disk that cannot
        be written, too.
        """
        if self._held is not None:
            return os.dup2(memory, self._held, inheritable=False)
        try:
            number = int(os.readlink(self.static_link).rpartition("/")[2])
        except (OSError, ValueError):
            number = _DESCRIPTOR
        try:
            self._held = fcntl.fcntl(memory, fcntl.F_DUPFD_CLOEXEC, number)
        except OSError:  # so many are not allowed here
            self._held = fcntl.fcntl(memory, fcntl.F_DUPFD_CLOEXEC, 0)
        return self._held

    def config_of(self, pid: int) -> bytes | None:
        """The static configuration that the process `pid` read when it started; None: it cannot be read any more."""
        try:
            return procfs.path_in(pid, os.readlink(self.static_link)).read_bytes()
        except OSError:
            return None


def _has(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
