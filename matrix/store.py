"""Where all stays that a later run needs again, outside of the checkout."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def home() -> Path:
    """The directory for programs, environments and results."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "jhub-kvproxy" / "matrix"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Nobody else has the lock `name` meanwhile."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove(directory: Path) -> None:
    """Remove `directory`, in which Go may have made directories that cannot be written to."""
    for path, _, _ in os.walk(directory):
        os.chmod(path, 0o700)
    shutil.rmtree(directory, ignore_errors=True)
