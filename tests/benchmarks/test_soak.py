"""``python -m benchmarks.soak``, as people call it, at its smallest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.stores import find_programs
from servers.programs import find
from tests.hub import heed_signals

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("backend", ["toml", "postgres"])
def test_a_short_soak_breaks_something_and_finds_nothing(tmp_path, backend):
    find("haproxy")
    find_programs(backend)
    arguments = ["--backend", backend, "--minutes", "0.2", "--pause", "3", "--seed", "7", "--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=250,
        preexec_fn=heed_signals,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / f"soak-{backend}.md").read_text()
    assert f"{backend}, seed 7: " in table
    assert " 0 faults" not in table
    assert "nothing grew, and no route was lost or wrong" in table
    assert "| hub-1 " in table
    assert ("| postgres " in table) == (backend == "postgres")
    assert not list(tmp_path.glob("kvproxy-soak-*"))
