"""The hub's limit of open files, in processes that have a low one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, logging, os, resource, subprocess, sys

from jhub_kvproxy.hub.open_files import raise_limit

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
for _ in range(2):
    raise_limit(logging.getLogger())
ask = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"]
of_child = int(subprocess.run(ask, capture_output=True, check=True, preexec_fn=lambda: None).stdout)
print(json.dumps([*resource.getrlimit(resource.RLIMIT_NOFILE), of_child]))
"""


def limits_after(soft: int, hard: int, before: str = "") -> tuple[list[int], str]:
    """The soft and the hard limit of a hub that began with these, the soft one of its child, and what it logged."""
    command = ["prlimit", f"--nofile={soft}:{hard}", sys.executable, "-c", before + PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(("soft", "hard"), [(256, 4096), (1024, 20_000)])
def test_a_hub_may_open_as_many_files_as_the_hard_limit_allows_and_its_servers_as_before(soft, hard):
    limits, log = limits_after(soft, hard)
    assert limits == [hard, hard, soft]
    assert log == f"INFO Raised the hub's limit of open files from {soft} to {hard}\n"


def test_nothing_is_said_when_there_is_nothing_to_raise():
    assert limits_after(512, 512) == ([512, 512, 512], "")


def test_without_a_hard_limit_it_is_a_million():
    before = """
import resource
limits = [256, resource.RLIM_INFINITY]
resource.getrlimit = lambda _: tuple(limits)
resource.setrlimit = lambda _, new: limits.__setitem__(slice(None), new)
"""
    limits, log = limits_after(256, 4096, before)
    assert limits[:2] == [1 << 20, -1]
    assert "from 256 to 1048576" in log


def test_a_limit_that_cannot_be_raised_is_said_with_what_to_do():
    before = """
import resource
def refuse(*_): raise PermissionError(1, "Operation not permitted")
resource.setrlimit = refuse
"""
    limits, log = limits_after(256, 4096, before)
    assert limits == [256, 4096, 256]
    assert "WARNING The hub can have 256 files and connections open at a time" in log
    assert "hard limit, 4096: [Errno 1] Operation not permitted. Start it with a higher limit (LimitNOFILE" in log
