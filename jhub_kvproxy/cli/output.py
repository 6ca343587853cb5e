"""The file that a command writes, in the place of printing."""

from __future__ import annotations

import stat
from pathlib import Path

from ..errors import KVProxyError
from ..files import write_atomically


def write_output(file: Path, content: bytes, *, is_secret: bool) -> None:
    """Give `file` the `content`, in one step. A new one is for its owner only.

    One that is there keeps its owner, group and mode, but shows no secret to everybody.
    """
    try:
        if file.exists() and not (file.is_file() or file.is_dir()):
            # Root would replace /dev/null by a file.
            raise KVProxyError(f"{file} cannot be written: it is no regular file.")
        if is_secret and file.is_file():
            file.chmod(stat.S_IMODE(file.stat().st_mode) & ~stat.S_IRWXO)
        write_atomically(file, content)
    except OSError as error:
        raise KVProxyError(f"{file} cannot be written: {error.strerror}.") from error
