"""Files that other processes read while we write them."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_atomically(
    path: Path, content: bytes, *, mode: int = 0o600, group: int = -1, temp_dir: Path | None = None
) -> None:
    """Give `path` the content, durably; a reader sees the old content or the new, never a part.

    A symlink stays one, and what it points at is replaced. A file that exists keeps its mode, owner and
    group; a new one gets `mode` and `group`. The temporary file stands in `temp_dir`, which must be on
    the same file system, or beside `path`; beside its target if that is a symlink. The time of the new
    file is later than that of the old one, so that who compares times sees the change. Raises an OSError that names
    `path`, which is then as it was.
    """
    try:
        _write(path, content, mode, group, temp_dir)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write(path: Path, content: bytes, mode: int, group: int, temp_dir: Path | None) -> None:
    real = Path(os.path.realpath(path))
    if temp_dir is None or path.is_symlink():
        temp_dir = real.parent
    try:
        old = real.stat()
    except FileNotFoundError:
        old = None
    fd, temp = tempfile.mkstemp(dir=temp_dir, prefix=f".{real.name}.", suffix=".tmp")
    try:
        with open(fd, "wb") as file:
            file.write(content)
            if old:
                _chown(fd, old.st_uid, old.st_gid)
                os.fchmod(fd, old.st_mode & 0o7777)
            else:
                _chown(fd, -1, group)
                os.fchmod(fd, mode)
            file.flush()
            # The kernel's clock may tick only every 4 ms.
            if old and os.fstat(fd).st_mtime_ns <= old.st_mtime_ns:
                os.utime(fd, ns=(old.st_mtime_ns + 1, old.st_mtime_ns + 1))
            os.fsync(fd)
        os.replace(temp, real)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temp)
        raise
    directory = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)  # makes the new name durable
    finally:
        os.close(directory)


def _chown(fd: int, uid: int, gid: int) -> None:
    now = os.fstat(fd)
    if uid not in (-1, now.st_uid) or gid not in (-1, now.st_gid):
        os.fchown(fd, uid, gid)
