"""The state of the code that is tested: results hold as long as it is the same."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

from servers.programs import ROOT

from .cells import Cell

_FOLDERS = ("jhub_kvproxy", "backends")
_ENDINGS = {".py", ".go", ".html", ".js", ".css", ".mod", ".yml"}


def state(root: Path = ROOT) -> str:
    """A checksum of all that users install."""
    digest = hashlib.sha256()
    for path in sorted(_files(root)):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def of(cell: Cell, state: str) -> str:
    """A checksum of that and of what is tested with it: the version, where it is from, and the tests."""
    return hashlib.sha256(f"{state}\0{cell}".encode()).hexdigest()[:16]


def _files(root: Path) -> Iterable[Path]:
    return (path for folder in _FOLDERS for path in (root / folder).rglob("*") if path.suffix in _ENDINGS)


def commit(root: Path = ROOT) -> str:
    """The commit that users would install: the last one that changed it, marked if it was changed since."""
    name = _git(root, "log", "-1", "--format=%h", "--", *_FOLDERS)
    return name + ("-dirty" if _git(root, "status", "--porcelain", "--", *_FOLDERS) else "")


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False).stdout.strip()
