"""Virtual environments, each with its Python, JupyterHub and Traefik."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from servers.errors import Unavailable
from servers.programs import ROOT

from .cells import Environment
from .children import reason, run
from .programs import find_python
from .store import home, remove

#: What the tests of the cells need besides.
_TESTS = ["pytest-timeout", "jupyterlab>=4"]
_EXTRAS = "kubernetes,postgres,redis,testing"


def name_of(environment: Environment) -> str:
    """The directory of the environment, below :func:`matrix.store.home`."""
    python = environment.python or ".".join(map(str, sys.version_info[:2]))
    words = [f"python{python}", environment.hub, environment.traefik]
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(words)).rstrip("-.")


def prepare(environment: Environment) -> Path:
    """The Python of this environment, which is made unless it is here. Raises Unavailable with the reason."""
    directory = home() / name_of(environment)
    python = directory / "bin" / "python"
    packages = [f"{ROOT}[{_EXTRAS}]", environment.hub, environment.traefik, *_TESTS]
    made_from = "\n".join([*packages, hashlib.sha256((ROOT / "setup.cfg").read_bytes()).hexdigest()])
    stamp = directory / "made-from"
    if not stamp.exists() or stamp.read_text() != made_from:
        original = find_python(environment.python) if environment.python else sys.executable
        remove(directory)
        _run([original, "-m", "venv", "--without-pip", str(directory)], directory)
        # By the pip of the Python that runs this: not each Python has one.
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--editable"]
        _run([*pip, *packages], directory)
        stamp.write_text(made_from)
    return python


def _run(command: list[str], directory: Path) -> None:
    log = directory.with_name(f".{directory.name}.log")
    if run(command, log) != 0:
        raise Unavailable(reason(log))
