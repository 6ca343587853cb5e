"""Where all stays that a later run needs again, outside of the checkout."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.errors import Unavailable


def home() -> Path:
    """The directory for programs, environments and results."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "jhub-kvproxy" / "matrix"


@contextmanager
def alone() -> Iterator[None]:
    """No other run, of no other checkout either, changes or uses what is there meanwhile. Raises Unavailable."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(f"another run is under way, which has {home()}") from None
        yield


def remove(directory: Path) -> None:
    """Remove `directory`, in which Go may have made directories that cannot be written to."""
    for path, _, _ in os.walk(directory):
        os.chmod(path, 0o700)
    shutil.rmtree(directory, ignore_errors=True)
