"""``make bench-agents``, with few routes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub import heed_signals

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_it_measures_and_loses_nothing(tmp_path):
    few = ["--routes", "20", "--rounds", "1", "--agents", "2", "--seconds", "1", "--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.agents", *few],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        preexec_fn=heed_signals,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: it was not quick, which does not matter here
    table = (tmp_path / "agents.md").read_text()
    assert "change, agent against push" in table
    assert "changes of these lost" in table
    [lost] = [line for line in table.splitlines() if "changes of these lost" in line]
    assert lost.split("|")[2].strip() == "0"
