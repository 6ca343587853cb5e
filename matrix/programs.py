"""Gets the programs of a cell: built, or out of a package, once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from servers.errors import Unavailable

from .cells import Built, Debian, Here, NotToBeHad
from .children import reason, run
from .store import home, remove

#: Debian's packages of Pythons that are not here. No release of Debian has Python 3.12.
_PYTHONS = {"3.11": "bookworm", "3.13": "trixie", "3.14": "sid"}


def provide(name: str, source: Debian | Built | Here | NotToBeHad | None) -> str:
    """The directory with the programs that `source` has; empty: they are where the tests look anyway.

    It is made by this run, or was by one before. Raises Unavailable with the reason.
    """
    if isinstance(source, NotToBeHad):
        raise Unavailable(source.reason)
    if not isinstance(source, Debian | Built):
        return ""
    # Another version in the list of cells is another program; what Debian has changes by itself.
    made = home() / (f"{source.what}-{source.version}" if isinstance(source, Built) else name)
    if not made.exists():
        _make(source.words, home() / f".{name}.building", made)
    return str(made / "bin")


def _make(words: list[str], work: Path, made: Path) -> None:
    log = work.with_suffix(".log")
    remove(work)  # of a run that was killed
    try:
        what, *rest = words
        work.mkdir(parents=True)
        if run(["tools/programs", what, str(work), *rest], log) != 0:
            raise Unavailable(reason(log))
        os.replace(work / "made", made)
    finally:
        remove(work)


def find_python(version: str) -> str:
    """The path of a Python of this version. Raises Unavailable with the reason."""
    name = f"python{version}"
    for directory in os.environ["PATH"].split(os.pathsep):
        path = Path(directory) / name
        # A name on PATH may be that of a version manager, which has no such Python.
        if path.exists() and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(path)
    if version not in _PYTHONS:
        raise Unavailable(f"there is no {name} on PATH, and no release of Debian has it")
    programs = {name: f"usr/bin/{name}"}
    # A virtual environment of 3.13 looks for its library beside the directory that this is in, links not followed.
    return str((Path(provide(name, Debian(_PYTHONS[version], name, programs))) / name).resolve())
