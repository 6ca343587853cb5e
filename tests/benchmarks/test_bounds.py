"""The bounds: which figures each is about, and what the report says of it."""

from __future__ import annotations

import pytest

from benchmarks.bounds import BOUNDS
from benchmarks.report import write_report
from benchmarks.results import Results
from benchmarks.summary import summary
from benchmarks.variants import CHP, floor, own, peer

ETCD, PEER, FLOOR = own("etcd"), peer("etcd"), floor("etcd")
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
    **{("requests", ETCD, 10, f"{place}.throughput"): 10_000.0 for place in ("first", "middle", "last", "hub")},
    **{("requests", ETCD, 10_000, f"{place}.throughput"): 9_000.0 for place in ("first", "middle", "last")},
    ("requests", ETCD, 10_000, "hub.throughput"): 8_500.0,
    ("requests", CHP, 10_000, "hub.throughput"): 4_250.0,
    ("requests", PEER, 10_000, "last.throughput"): 1_250.0,
    ("requests", PEER, 10_000, "hub.throughput"): 1_200.0,
    ("change", ETCD, 10, "any.served"): 0.013,
    ("change", FLOOR, 10, "any.served"): 0.01,
    ("change", ETCD, 1_000, "any.served"): 0.13,
    ("change", ETCD, 1_000, "any.done"): 0.1,
    ("change", FLOOR, 1_000, "any.served"): 0.1,
    ("change", PEER, 1_000, "any.served"): 0.65,
    ("change", PEER, 1_000, "any.done"): 0.5,
    ("change", ETCD, 5_000, "any.served"): 1.3,
    ("change", FLOOR, 5_000, "any.served"): 1.0,
    ("burst", ETCD, 100, "200.served"): 2.0,
    ("burst", PEER, 100, "200.served"): 40.0,
    ("burst", ETCD, 100, "200.route.cpu"): 0.02,
    ("burst", PEER, 100, "200.route.cpu"): 0.4,
    ("burst", ETCD, 1_000, "1000.served"): 4.0,
    ("burst", ETCD, 1_000, "1000.change-after.served"): 1.0,
    ("churn", ETCD, 1_000, "20.requests.p99"): 0.03,
    ("churn", ETCD, 1_000, "20.quiet.p99"): 0.01,
    ("churn", ETCD, 1_000, "20.proxy.cores"): 0.5,
    ("restart", ETCD, 5_000, "empty"): 20.0,
    ("restart", PEER, 500, "empty"): 100.0,
}


def results(**changed: float) -> Results:
    """Results with FIGURES, those `changed` times a factor; by scenario, variant's kind, routes, measure."""
    made = Results(ENVIRONMENT)
    for (scenario, variant, routes, measure), value in FIGURES.items():
        factor = changed.get(f"{scenario} {variant.kind} {routes} {measure}", 1.0)
        # The median counts, not the mean.
        made.add(scenario, variant, routes, measure, value * factor, value * factor, value * 99)
    return made


def verdicts(text: str) -> list[str]:
    """The verdict on each bound."""
    lines = text.partition("**Bounds**")[2].partition("**What the ratios are of**")[0].splitlines()
    return [line.rstrip(" |")[-1] for line in lines if line.startswith("| ")][1:]


def test_figures_that_meet_all_bounds():
    text = summary(results())
    assert verdicts(text) == ["✓"] * len(BOUNDS)
    assert "all of these are met" in text


@pytest.mark.parametrize(
    ("figure", "factor", "missed"),
    [
        ("requests own 10000 hub.throughput", 0.98, [0, 1, 2]),
        ("requests own 10000 middle.throughput", 0.9, [0, 1, 2]),
        ("requests own 10 first.throughput", 1.1, []),  # not the slowest
        ("requests chp 10000 hub.throughput", 1.01, [1]),
        ("requests peer 10000 hub.throughput", 1.04, [2]),
        ("change peer 1000 any.served", 0.99, [3]),
        ("change own 1000 any.done", 1.01, [4]),
        ("change floor 10 any.served", 0.99, [5]),
        ("change floor 1000 any.served", 0.99, [6]),
        ("change own 5000 any.served", 1.01, [7]),
        ("burst peer 100 200.served", 0.99, [8]),
        ("burst own 1000 1000.served", 1.01, [9]),
        ("churn own 1000 20.requests.p99", 1.01, [10]),
        ("churn own 1000 20.proxy.cores", 1.01, [11]),
        ("restart peer 500 empty", 0.39, [12]),
        ("burst own 100 200.route.cpu", 1.01, [13]),
    ],
)
def test_a_figure_beyond_its_bound_is_shown_as_missed(figure, factor, missed):
    text = summary(results(**{figure: factor}))
    assert [number for number, verdict in enumerate(verdicts(text)) if verdict == "✗"] == missed
    if missed:
        assert f"Missed, for one backend or more: {len(missed)}." in text
        assert f"- {BOUNDS[missed[0]].what}: etcd " in text


def test_what_was_not_measured_is_neither_met_nor_missed():
    few = results()
    few.series = [series for series in few.series if series.scenario == "churn"]
    text = summary(few)
    assert verdicts(text) == ["-"] * 10 + ["✓", "✓", "-", "-"]
    assert "2 were measured" in text


def test_a_report_can_be_written_again_from_its_file(tmp_path):
    made = results()
    made.left_out["nginx"] = "there is none"
    text = write_report(made, tmp_path)
    assert "nginx: there is none" in text
    assert Results.read(tmp_path / "results.json") == made
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write_report(Results.read(tmp_path / "results.json"), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
