"""The bounds: which figures each is about, and what the report says of it."""

from __future__ import annotations

import pytest

from benchmarks.bounds import BOUNDS
from benchmarks.report import write_report
from benchmarks.results import Results
from benchmarks.summary import summary
from benchmarks.variants import BARE, CHP, own

TOML, STORE, METRICS = own("toml"), own("toml", "store"), own("toml", "metrics")
ENVIRONMENT = {
    "date": "today",
    "cores": 2,
    "processor": "one",
    "memory_gb": 1.0,
    "system": "Linux",
    "scale": "default",
    "load_before": [0.0],
    "versions": {},
}

#: Figures that meet each bound just so.
FIGURES = {
    ("change", TOML, 10_000, "add.done"): 0.012,
    ("change", TOML, 10, "add.done"): 0.008,
    ("change", CHP, 10_000, "add.done"): 0.0015,
    ("change", TOML, 10_000, "any.cpu"): 0.0015,
    ("change", CHP, 10_000, "any.cpu"): 0.001,
    ("burst", TOML, 1_000, "1000.done"): 2.0,
    ("burst", CHP, 1_000, "1000.done"): 1.0,
    ("churn", TOML, 10_000, "50.requests.p99"): 0.015,
    ("churn", TOML, 10_000, "50.quiet.p99"): 0.01,
    **{("requests", TOML, 10_000, f"{place}.throughput"): 9_000.0 for place in ("first", "middle", "last")},
    ("requests", TOML, 10_000, "hub.throughput"): 8_500.0,
    ("requests", CHP, 10_000, "last.throughput"): 4_000.0,
    ("requests", CHP, 10_000, "hub.throughput"): 3_690.0,
    ("requests", BARE, 10_000, "last.throughput"): 10_000.0,
    ("arrivals", METRICS, 10_000, "1000.open.memory"): 250e6,
    ("arrivals", CHP, 10_000, "1000.open.memory"): 100e6,
    ("restart", TOML, 10_000, "full"): 2.0,
    ("cycles", TOML, 1_000, "20000.hub-part.before.memory"): 100e6,
    ("cycles", TOML, 1_000, "20000.hub-part.after.memory"): 105e6,
    ("cycles", TOML, 1_000, "20000.proxy.before.memory"): 100e6,
    ("cycles", TOML, 1_000, "20000.proxy.after.memory"): 105e6,
    **{("requests", TOML, routes, "user.cpu"): 84e-6 for routes in (10, 1_000, 10_000)},
    **{("requests", STORE, routes, "user.cpu"): 80e-6 for routes in (10, 1_000, 10_000)},
    **{("requests", BARE, routes, "user.cpu"): 60e-6 for routes in (10, 1_000, 10_000)},
    ("change", TOML, 50_000, "add.done"): 0.05,
    ("snapshot", TOML, 50_000, "snapshot"): 0.5,
    ("footprint", TOML, 50_000, "hub-part.memory"): 300e6,
    ("footprint", TOML, 50_000, "proxy.memory"): 400e6,
}


def results(**changed: float) -> Results:
    """Results with FIGURES, those `changed` times a factor; by scenario, variant's name, routes, measure."""
    made = Results(ENVIRONMENT)
    for (scenario, variant, routes, measure), value in FIGURES.items():
        factor = changed.get(f"{scenario}, {variant.name}, {routes}, {measure}", 1.0)
        # The median counts, not the mean.
        made.add(scenario, variant, routes, measure, value * factor, value * factor, value * 99)
    return made


def verdicts(text: str) -> list[str]:
    """The verdict on each bound; "" for a figure that is only shown."""
    lines = text.partition("**Bounds**")[2].partition("**Figures of the ratios**")[0].splitlines()
    marks = [line.rstrip(" |")[-1] for line in lines if line.startswith("| ")][1:]
    return [mark if mark in "✓✗-" else "" for mark in marks]


LIMITED = [number for number, bound in enumerate(BOUNDS) if bound.limit is not None]


def test_figures_that_meet_all_bounds():
    text = summary(results())
    assert verdicts(text) == ["✓" if number in LIMITED else "" for number in range(len(BOUNDS))]
    assert "all of these are met" in text
    assert "1.4 " in text  # of a request's CPU against a bare Traefik's, which has no limit


@pytest.mark.parametrize(
    ("figure", "factor", "missed"),
    [
        ("change, CHP, 10000, add.done", 0.99, [0]),
        ("change, toml, 10000, add.done", 1.26, [0, 1, 2]),
        ("change, toml, 10, add.done", 0.99, [2]),
        ("change, toml, 10000, any.cpu", 1.01, [3]),
        ("change, CHP, 10000, any.cpu", 0.99, [3]),
        ("burst, toml, 1000, 1000.done", 1.01, [4]),
        ("churn, toml, 10000, 50.requests.p99", 1.01, [5]),
        ("churn, toml, 10000, 50.quiet.p99", 0.99, [5]),
        ("requests, toml, 10000, hub.throughput", 0.98, [6, 7]),
        ("requests, toml, 10000, middle.throughput", 0.8, [6, 7]),
        ("requests, CHP, 10000, hub.throughput", 1.01, [6]),
        ("requests, CHP, 10000, last.throughput", 1.5, []),  # not the slowest
        ("requests, bare Traefik, 10000, last.throughput", 1.01, [7]),
        ("arrivals, toml (metrics), 10000, 1000.open.memory", 1.01, [8]),
        ("restart, toml, 10000, full", 1.01, [9]),
        ("cycles, toml, 1000, 20000.hub-part.after.memory", 1.01, [10]),
        ("cycles, toml, 1000, 20000.proxy.before.memory", 0.99, [11]),
        ("requests, toml, 10, user.cpu", 1.01, [12]),
        ("requests, toml (store), 1000, user.cpu", 0.99, [13]),
        ("requests, bare Traefik, 10000, user.cpu", 0.1, []),
        ("change, toml, 50000, add.done", 99, []),
    ],
)
def test_a_figure_beyond_its_bound_is_shown_as_missed(figure, factor, missed):
    text = summary(results(**{figure: factor}))
    assert [number for number, verdict in enumerate(verdicts(text)) if verdict == "✗"] == missed
    if missed:
        assert f"Missed, for one backend or more: {len(missed)}." in text
        assert f"- {BOUNDS[missed[0]].what}: toml " in text


def test_a_bound_that_is_for_one_backend_only_is_shown_for_the_others():
    made = Results(ENVIRONMENT)
    for variant in (own("etcd"), TOML):
        made.add("change", variant, 10_000, "add.done", 0.03)
    line = next(line for line in summary(made).splitlines() if "15\N{NO-BREAK SPACE}ms" in line)
    assert [cell.strip() for cell in line.split("|")[3:5]] == [
        "30\N{NO-BREAK SPACE}ms",
        "30\N{NO-BREAK SPACE}ms\N{NO-BREAK SPACE}✗",
    ]


def test_what_was_not_measured_is_neither_met_nor_missed():
    few = results()
    few.series = [series for series in few.series if series.scenario == "churn"]
    text = summary(few)
    assert verdicts(text) == ["✓"]
    assert BOUNDS[5].what in text
    assert f"Of {len(LIMITED)} bounds, 1 was measured, and it is met." in text


def test_a_run_of_one_scenario_that_no_bound_is_about_shows_no_bounds():
    few = Results(ENVIRONMENT)
    few.add("reads", TOML, 10, "all", 0.01)
    text = summary(few)
    assert text.endswith("No bound was measured.\n")
    assert "|" not in text
    assert "met" not in text


def test_a_figure_that_is_only_shown_is_met_by_nothing():
    few = Results(ENVIRONMENT)
    few.add("snapshot", TOML, 50_000, "snapshot", 0.5)
    text = summary(few)
    assert verdicts(text) == [""]
    assert f"None of {len(LIMITED)} bounds was measured." in text


def test_a_report_can_be_written_again_from_its_file(tmp_path):
    made = results()
    made.left_out["nginx"] = "there is none"
    text = write_report(made, tmp_path)
    assert "nginx: there is none" in text
    assert Results.read(tmp_path / "results.json") == made
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write_report(Results.read(tmp_path / "results.json"), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
