"""Runs tests in a pytest of their own, and tells what went wrong in each: also in one that hangs, or ends its process.

It is the plugin of that pytest, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_REPORT = "KVPROXY_INNER_REPORT"
_OPTIONS = ["-q", "-p", __name__, "-p", "no:cacheprovider", "-o", "asyncio_mode=strict", "--hypothesis-seed=0"]

_went_wrong: dict[str, str] = {}


def what_went_wrong(tests: Iterable[str], directory: Path, limit: float, root: Path = _ROOT) -> dict[str, str]:
    """What pytest says in `root` of each of `tests`: "" if it passed. A test that takes `limit` seconds is ended.

    They run as on CI, where pytest shows all of what differs, and with pytest-asyncio in its mode `strict`.
    """
    found: dict[str, str] = {}
    left = list(tests)
    while left:
        report = directory / f"{len(left)}-left.jsonl"
        said = _pytest(left, report, limit, root)
        if report.exists():
            found |= dict(json.loads(line) for line in report.read_text().splitlines())
        left = [test for test in left if test not in found]
        if left:
            found[left.pop(0)] = f"It ended its process, or did not end in {limit:g} s:\n{said}"
    return found


def _pytest(tests: list[str], report: Path, limit: float, root: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    # A signal finds pytest at places that it cannot report; a thread ends the process wherever it hangs.
    limits = [f"--timeout={limit:g}", "--timeout-method=thread"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *_OPTIONS, *limits, *tests],
        cwd=root,
        env={**env, "CI": "true", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), _REPORT: str(report)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


def pytest_runtest_logreport(report):
    """A line for each test, when it has ended."""
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        said = f"{crash.message if crash else ''}\n{report.longreprtext}"
        _went_wrong[report.nodeid] = _went_wrong.get(report.nodeid, "") + said
    if report.when == "teardown":
        with Path(os.environ[_REPORT]).open("a") as lines:
            lines.write(json.dumps([report.nodeid, _went_wrong.get(report.nodeid, "")]) + "\n")
