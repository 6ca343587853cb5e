"""Each scenario, once, with one route, with all that is installed: whether it works, not how fast anything is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.field import Field, Job
from benchmarks.lab import Lab
from benchmarks.origin import Origin
from benchmarks.processes import Usage, usage
from benchmarks.results import Results
from benchmarks.run import Runner
from benchmarks.scenarios import SCENARIOS
from benchmarks.variants import Variant, find_variants, own
from servers.programs import find

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = {name: scenario.SCALES["tiny"] for name, scenario in SCENARIOS.items()}

#: What each scenario measures, at least.
MEASURES = {
    "footprint": {"proxy.memory", "proxy.cores"},
    "reads": {"all", "all.blocked", "one"},
    "arrivals": {"2.open.memory", "2.each.memory", "2.hub-part.memory"},
    "requests": {"first.p50", "hub.p99", "last.throughput", "user.cpu", "new-connections.p99", "1-MB.throughput"},
    "change": {"add.served", "retarget.served", "delete.served", "add.returned", "any.served", "any.done", "any.cpu"},
    "burst": {"2.served", "2.done", "2.blocked", "2.route.cpu"},
    "churn": {"20.lag.p50", "20.lag.max", "20.requests.p99", "20.quiet.p99", "20.proxy.cores", "20.blocked"},
    "cycles": {"4.rate", "4.hub-part.before.memory", "4.proxy.after.memory"},
    "restart": set(),
    "snapshot": {"killed"},
    "websockets": {"idle.connect", "idle.memory", "busy.rate", "busy.p99"},
}
#: And of ours as they are by default, and of others.
DEFAULT_MEASURES = {
    "restart": {"empty"},
    "snapshot": {"snapshot"},
}
#: And of ours.
OWN_MEASURES = {
    "footprint": {"hub-part.memory", "hub-part.cores"},
    "restart": {"full"},
}


def jobs(name: str, variants: list[Variant]) -> list[Job]:
    return list(SCENARIOS[name].jobs(Field(variants), TINY[name], None))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, str]:
    """Where the command wrote its report, and what it printed."""
    find("nginx")
    find("wrk")
    directory = tmp_path_factory.mktemp("run")
    command = [sys.executable, "-m", "benchmarks", "--tiny", "--output", directory / "out"]
    env = {**os.environ, "TMPDIR": str(directory)}
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=-1, stderr=-1, text=True, timeout=290)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in directory.iterdir()] == ["out"]
    return directory / "out", done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SCENARIOS)
def test_it_measures_all_that_is_installed(run, name):
    results = Results.read(run[0] / "results.json")
    variants, _ = find_variants([], False)
    taking_part = jobs(name, variants)
    assert any(job.variant.kind == "own" for job in taking_part)
    for job in taking_part:
        of_job = {s.measure: s for s in results.series if (s.scenario, s.variant) == (name, job.variant.name)}
        wanted = MEASURES[name] | (OWN_MEASURES.get(name, set()) if job.variant.kind == "own" else set())
        wanted |= set() if job.variant.option else DEFAULT_MEASURES.get(name, set())
        assert wanted <= of_job.keys(), job.variant.name
        assert all(series.values and series.routes == 1 for series in of_job.values())


def test_nothing_is_left_out_but_what_is_missing(run):
    variants, left_out = find_variants([], False)
    assert Results.read(run[0] / "results.json").left_out == left_out
    if os.environ.get("CI"):
        assert {"toml", "etcd", "consul", "redis", "kubernetes", "postgres"} <= {variant.name for variant in variants}


def test_the_report_shows_what_was_measured(run):
    directory, text = run
    for name in SCENARIOS:
        table = (directory / f"{name}.md").read_text()
        is_of_all = name not in ("arrivals", "cycles", "requests", "websockets")  # of which one does all
        assert "| toml " in table or " toml |" in table or not is_of_all
        assert table in text
    bounds = (directory / "bounds.md").read_text()
    assert bounds in text
    assert "No bound was measured." in bounds  # each is about more routes than the one here
    drawn = ("arrivals", "burst", "change", "churn", "footprint", "reads", "requests", "restart")
    assert {f"{name}.svg" for name in drawn} <= {file.name for file in directory.iterdir()}


@pytest.fixture
def measured(tmp_path):
    """Measures "reads" with variants, in so many seconds; returns the results."""
    find("nginx")
    origin = Origin(tmp_path / "origin")

    async def run(seconds: float, *variants: Variant) -> Results:
        results = Results({})
        await Runner(Lab(origin, results, tmp_path, ""), jobs("reads", list(variants)), TINY, seconds).run()
        return results

    yield run
    origin.stop()


async def test_a_variant_that_does_not_start_is_left_out_with_the_reason(measured):
    results = await measured(100, Variant("broken", "own", "no-such-backend"), own("toml"))
    assert {series.variant for series in results.series} == {"toml"}
    (reason,) = results.left_out.values()
    assert "no-such-backend" in reason


async def test_a_run_without_time_says_what_is_left_out(measured):
    results = await measured(0, own("toml"))
    assert list(results.left_out) == ["reads, toml, 1 routes"]


def test_the_cpu_of_a_process_is_that_of_all_its_threads():
    spin = "import time, threading\ndef spin():\n  while time.process_time() < 0.2: pass\n"
    code = spin + "t = threading.Thread(target=spin); t.start(); t.join(); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as process:
        assert process.stdout
        process.stdout.readline()  # its thread, which did all the work, has ended
        assert usage([process.pid]).cpu >= 0.2
        assert usage([process.pid]).memory > 1e6
        process.communicate(b"\n")
    assert usage([process.pid]) == Usage(0.0, 0)
