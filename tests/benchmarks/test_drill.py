"""``python -m benchmarks.drill``, as people call it, at its smallest."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.drill import __main__ as command
from benchmarks.drill.faults import FAULTS
from benchmarks.drill.judging import Marks, Row
from benchmarks.drill.options import parse
from benchmarks.drill.report import Drill
from benchmarks.drill.site import Size
from benchmarks.drill.timeline import bins
from benchmarks.processes import descendants
from servers.programs import find
from tests.hub import heed_signals

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "drill.md"
SMALLEST = ["--minutes", "0.01", "--users", "5", "--rate", "40"]


@pytest.fixture(autouse=True)
def _programs():
    find("haproxy")


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.drill", *SMALLEST, "--output", str(directory / "out"), *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )


@pytest.mark.parametrize(("delivery", "name"), [("push", "toml"), ("store", "toml-store")])
def test_a_killed_traefik_costs_what_was_in_flight_on_it(tmp_path, delivery, name):
    process = start(
        tmp_path, "--backend", "toml", "--delivery", delivery, "--fault", "traefik-killed", "--fault", "store-frozen"
    )
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    assert "| one Traefik killed |" in out
    assert "store frozen" not in out  # files do not freeze
    content = json.loads((tmp_path / "out" / f"drill-{name}.json").read_text())
    assert content["delivery"] == delivery
    (row,) = content["rows"]
    assert content["is_met"]
    assert row["requests"] > 0
    # Its share of the websockets, with nobody else's.
    assert row["dropped"] == row["dropped_own"] > 0
    assert row["failed"] == row["failed_own"]
    assert sum(content["timeline"]["good"]) > 0
    assert not list(tmp_path.glob("kvproxy-drill-*"))
    assert (tmp_path / "out" / f"drill-{name}-logs" / "hub-1.log").exists()


def test_a_disk_is_full_for_a_while_and_is_gone_with_the_drill(tmp_path):
    process = start(tmp_path, "--backend", "toml", "--fault", "disk-full")
    out, err = process.communicate(timeout=200)
    if "drill: without 'disk of the table full, one Traefik killed': no file system can be mounted here" in err:
        pytest.skip(err)
    assert process.returncode == 0, out + err
    [row] = json.loads((tmp_path / "out" / "drill-toml.json").read_text())["rows"]
    assert row["marks"]["fault"] <= row["marks"]["killed"] < row["marks"]["back"]
    assert "the Traefik that was started again served all routes" in out
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
    assert not list(tmp_path.glob("kvproxy-drill-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_drill_leaves_no_process_behind(tmp_path, number):
    process = start(tmp_path, "--backend", "etcd", "--fault", "store-frozen", "--minutes", "4")
    assert process.stderr
    for line in process.stderr:
        if "store frozen" in line:
            break
    children = descendants(process.pid)
    assert sum("etcd" in name for name in children.values()) == 3
    while not any(is_frozen(pid) for pid in children):
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while (left := [pid for pid in children if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert not list(tmp_path.glob("kvproxy-drill-*"))


@pytest.mark.parametrize(("missed", "status"), [([], 0), (["something"], 1)])
def test_the_exit_status_says_whether_all_bounds_were_met(tmp_path, monkeypatch, capsys, missed, status):
    async def fake(backend, *_):
        row = Row("changes", "route changes only", 0.0, 1.0, Marks(), missed=missed)
        return Drill(backend, "push", Size(), 0.0, [row], bins([], [], 0.0, 1.0))

    monkeypatch.setattr(command, "drill", fake)
    monkeypatch.setattr(command.environment, "describe", dict)
    monkeypatch.setattr(sys, "argv", ["drill", "--backend", "toml", "--fault", "changes", "--output", str(tmp_path)])
    assert command.main() == status
    assert ("missed: something" in capsys.readouterr().out) == bool(missed)


def test_the_page_tells_of_every_fault_and_its_commands_are_right():
    page = PAGE.read_text()
    shown = re.findall(r'^\$ (?:make drill DRILL="|python -m benchmarks.drill )(.*?)"?$', page, re.MULTILINE)
    assert len(shown) == 6
    for arguments in shown:
        assert parse(arguments.split()).backends in (["etcd"], ["redis"], ["kubernetes"])
    assert set(re.findall(r"^\| `([a-z][a-z-]+)` \|", page, re.MULTILINE)) == {fault.name for fault in FAULTS}


def is_frozen(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def test_a_store_that_traefik_cannot_read_by_itself(capsys):
    others = ["etcd", "consul", "redis", "toml"]
    assert set(parse(["--delivery", "agent"]).backends) == {"kubernetes", "postgres", *others}
    assert set(parse(["--delivery", "store"]).backends) == set(others)
    for backend in ("kubernetes", "postgres"):
        with pytest.raises(SystemExit):
            parse(["--delivery", "store", "--backend", backend])
        assert f"Traefik cannot read {backend} by itself" in capsys.readouterr().err
