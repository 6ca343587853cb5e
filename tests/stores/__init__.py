"""Real servers of the stores: each test session starts its own, on free ports."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

#: Where ``tools/setup`` unpacks a server that must not be installed system-wide.
_UNPACKED = Path(__file__).parents[2] / ".servers" / "usr" / "bin"

_HOW = {
    "etcd": "on Debian: apt-get install etcd-server",
    "redis-server": "on Debian: apt-get install redis-server",
    "consul": "make test unpacks Debian 11's package on a Debian, as root",
}


def find_server(command: str) -> str:
    """The path of a store's server; without it the test is skipped, or fails where it was promised (CI)."""
    path = shutil.which(command, path=f"{_UNPACKED}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"There is no {command} here; {_HOW[command]}")
    return path
