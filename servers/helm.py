"""Helm, of more than one major version."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .errors import Missing
from .programs import ROOT

MAJORS = (3, 4)
_BUILT = ROOT / ".servers" / "kubernetes"


def find_helm(major: int) -> str:
    """The path of Helm of that major version. Raises Missing, which says how to get it.

    It is looked for on PATH, as helm, helm3 or helm4, and where tools/kubernetes puts it.
    """
    for path in _candidates():
        if _major(path) == major:
            return path
    raise Missing(f"there is no Helm {major} here (tools/kubernetes helm builds it)")


def _candidates() -> Iterator[str]:
    directories = [*map(Path, os.environ["PATH"].split(os.pathsep)), *sorted(_BUILT.glob("helm*"), reverse=True)]
    for path in (directory / name for directory in directories for name in ("helm", "helm3", "helm4")):
        if path.is_file() and os.access(path, os.X_OK):
            yield str(path)


@functools.cache
def _major(program: str) -> int:
    said = subprocess.run([program, "version", "--short"], capture_output=True, text=True).stdout
    match = re.match(r"v(\d+)\.", said)
    return int(match[1]) if match else 0
