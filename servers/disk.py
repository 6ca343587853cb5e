"""A small file system, which can be full."""

from __future__ import annotations

import ctypes
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

from .errors import Unavailable

_NEW_MOUNTS = 0x20000  # CLONE_NEWNS
_BLOCK = 4096
_unshare = ctypes.CDLL(None, use_errno=True).unshare


class SmallDisk:
    """A file system of `size` (as mount has it) at the directory `path`; the ``with`` block mounts and unmounts it."""

    def __init__(self, path: Path, size: str = "1m") -> None:
        self.path = path
        self._size = size
        self._filler = path / "filler"

    def __enter__(self) -> Self:
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        self.unmount()

    def mount(self) -> None:
        """Raises Unavailable if we may not."""
        _run("mount", "-t", "tmpfs", "-o", f"size={self._size},mode=700", "kvproxy-test", str(self.path))

    def unmount(self) -> None:
        _run("umount", "--lazy", str(self.path))

    def fill(self) -> None:
        """Write until there is no more room."""
        with self._filler.open("ab", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(_BLOCK))

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)


def own_mounts() -> None:
    """Let nobody else see what this process, and those that it starts, mount from now on; it ends with them.

    Threads that run already do not see it either. Raises Unavailable if we may not.
    """
    if _unshare(_NEW_MOUNTS):
        raise Unavailable(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    _run("mount", "--make-rprivate", "/")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"no file system can be mounted here: {done.stderr.strip()}")
