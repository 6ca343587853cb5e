"""Each scenario, once, with one route: whether it works, not how fast anything is."""

from __future__ import annotations

import os

import pytest

from benchmarks import tools
from benchmarks.errors import Missing
from benchmarks.field import Field
from benchmarks.lab import Lab
from benchmarks.origin import Origin
from benchmarks.report import write_report
from benchmarks.results import Results
from benchmarks.run import Runner
from benchmarks.scenarios import SCENARIOS
from benchmarks.variants import NGINX, Variant, floor, own

ENVIRONMENT = {
    "date": "today",
    "cores": 2,
    "processor": "one",
    "memory_gb": 1.0,
    "system": "Linux",
    "scale": "tiny",
    "load_before": [0.0],
    "versions": {},
}

#: What each scenario measures of toml, at least.
MEASURES = {
    "footprint": {"hub-part.memory", "proxy.memory", "proxy.cores"},
    "reads": {"all", "all.blocked", "one"},
    "requests": {"last.throughput", "last.p50", "last.p99", "new-connections.p99", "1-MB.throughput"},
    "change": {"add.served", "retarget.served", "delete.served", "add.returned", "add.done", "any.served", "any.cpu"},
    "burst": {"2.served", "2.done", "2.blocked", "2.route.cpu", "2.change-after.done"},
    "churn": {"20.lag.p50", "20.lag.max", "20.requests.p99", "20.quiet.p99", "20.proxy.cores", "20.blocked"},
    "restart": {"full", "empty"},
    "websockets": {"idle.connect", "idle.memory", "busy.rate", "busy.p99"},
}


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    try:
        for program in ("nginx", "wrk"):
            tools.find(program)
    except Missing as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    directory = tmp_path_factory.mktemp("origin")
    for parent in (directory, *directory.parents[:3]):
        parent.chmod(0o755)
    origin = Origin(directory / "nginx")
    yield origin
    origin.stop()


@pytest.fixture
def measured(origin, tmp_path):
    """Runs one scenario of the scale "tiny"; returns its results."""

    async def run(name: str, *variants: Variant) -> Results:
        results = Results(ENVIRONMENT)
        settings = SCENARIOS[name].SCALES["tiny"]
        jobs = list(SCENARIOS[name].jobs(Field(variants), settings, None))
        await Runner(Lab(origin, results, tmp_path, ""), jobs, {name: settings}, 100).run()
        return results

    return run


@pytest.mark.parametrize("name", SCENARIOS)
async def test_it_measures(measured, name):
    variants = [own("toml"), floor("toml"), NGINX]
    results = await measured(name, *variants)
    assert results.left_out == {}
    of_toml = {series.measure: series for series in results.series if series.variant == "toml"}
    assert MEASURES[name] <= of_toml.keys()
    assert all(series.routes == 1 and series.values for series in results.series)


async def test_a_variant_that_does_not_start_is_left_out_with_the_reason(measured):
    broken = Variant("broken", "own", "no-such-backend")
    results = await measured("reads", broken, own("toml"))
    assert {series.variant for series in results.series} == {"toml"}
    (reason,) = results.left_out.values()
    assert "no-such-backend" in reason


async def test_a_run_without_time_says_what_is_left_out(origin, tmp_path):
    results = Results(ENVIRONMENT)
    settings = SCENARIOS["reads"].SCALES["tiny"]
    jobs = list(SCENARIOS["reads"].jobs(Field([own("toml")]), settings, None))
    await Runner(Lab(origin, results, tmp_path, ""), jobs, {"reads": settings}, 0).run()
    assert list(results.left_out) == ["reads, toml, 1 routes"]


def test_the_report_has_tables_and_plots(tmp_path):
    results = Results(ENVIRONMENT, left_out={"CHP": "there is none"})
    for routes in (10, 10_000):
        for variant, throughput in ((own("toml"), 9000.0), (Variant("CHP", "chp"), 4000.0)):
            for position in ("first", "middle", "last", "hub"):
                results.add("requests", variant, routes, f"{position}.throughput", throughput, throughput / 2)
            results.add("restart", variant, routes, "empty", 1.0)
            results.add("burst", variant, routes, "200.done", 1.0)
    text = write_report(results, tmp_path)
    assert all(part in text for part in ("against CHP", "2.25 ✓", "there is none"))
    assert {file.name for file in tmp_path.iterdir()} >= {"bounds.md", "figures.md", "requests.svg", "burst.svg"}
    assert Results.read(tmp_path / "results.json") == results
