"""The report as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .bounds import BOUNDS, Bound, Ratio
from .figures import own, sizes, variants, worst_throughput
from .markdown import cores, memory, rate, ratio, seconds, shown, table
from .results import Results

_Cell = Callable[[str, int], float | None]


def summary(results: Results) -> str:
    """Where it was measured, and the bounds."""
    return _joined(_environment(results), _bounds(results))


def figures(results: Results) -> str:
    """All figures, and what was left out."""
    return _joined(*_figures(results), _left_out(results))


def _joined(*parts: str) -> str:
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _environment(results: Results) -> str:
    about = results.environment
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version != "absent")
    loads = [load for series in results.series for load in series.loads]
    load = f"{min(loads):g} to {max(loads):g}" if loads else "unknown"
    return (
        f"Measured on {about['date']}: {about['cores']} cores ({about['processor']}), {about['memory_gb']} GB, "
        f"{about['system']}; scale `{about['scale']}`; load average {about['load_before'][0]:g} before, "
        f"{load} during the run (the benchmark's own load is in it).\n\n{versions}."
    )


def _bounds(results: Results) -> str:
    names = own(results)
    rows, notes = [], []
    for bound in BOUNDS:
        ratios = [bound.ratio(results, name) for name in names]
        if any(ratios):
            rows.append([bound.what, _limit(bound), *(_cell(bound, found) for found in ratios)])
            of_bound = dict.fromkeys(note for found in ratios if found for note in found.notes)
            notes += [f"- {bound.what}: {'; '.join(of_bound)}."] if of_bound else []
    return _joined("**Bounds** (✓ met, ✗ missed)", table(["", "limit", *names], rows), "\n".join(notes)) if rows else ""


def _limit(bound: Bound) -> str:
    return f"{'≤' if bound.at_most else '≥'} {ratio(bound.limit)}"


def _cell(bound: Bound, found: Ratio | None) -> str:
    if found is None:
        return "-"
    return f"{ratio(found.value)} {'✓' if bound.is_met(found) else '✗'}"


def _figures(results: Results) -> Iterable[str]:
    def median(scenario: str, measure: str) -> _Cell:
        return lambda variant, routes: results.median(scenario, variant, routes, measure)

    yield _by_size(
        results, "requests", "requests a second, worst route", lambda v, n: worst_throughput(results, v, n), rate
    )
    for measure, title in (
        ("new-connections.throughput", "requests a second, each on a new connection"),
        ("1-MB.throughput", "requests a second with a body of 1 MB"),
    ):
        yield _by_size(results, "requests", title, median("requests", measure), rate)
    yield _by_size(results, "requests", "p99 of requests to the hub's route", median("requests", "hub.p99"), seconds)
    yield _by_size(
        results,
        "change",
        "one change, until the call returned and it is served",
        median("change", "any.done"),
        seconds,
    )
    for change in ("add", "retarget", "delete"):
        cell = median("change", f"{change}.done")
        yield _by_size(results, "change", f"one {change}, until the call returned and it is served", cell, seconds)
    yield _by_size(results, "change", "one change, until it is served", median("change", "any.served"), seconds)
    for scenario, title in (
        ("burst", "burst"),
        ("churn", "churn"),
        ("restart", "start of a hub"),
        ("websockets", "websockets"),
    ):
        yield from _by_measure(results, scenario, title)
    yield _by_size(results, "reads", "get_all_routes", median("reads", "all"), seconds)
    yield _by_size(
        results, "reads", "get_all_routes: longest block of the hub's loop", median("reads", "all.blocked"), seconds
    )
    yield _by_size(results, "reads", "get_route", median("reads", "one"), seconds)
    for part, title in (("hub-part", "hub part"), ("proxy", "proxy"), ("store", "store")):
        yield _by_size(results, "footprint", f"memory of the {title}", median("footprint", f"{part}.memory"), memory)
        yield _by_size(
            results, "footprint", f"cores of the {title} at rest", median("footprint", f"{part}.cores"), cores
        )


def _by_size(results: Results, scenario: str, title: str, cell: _Cell, show: Callable[[float], str]) -> str:
    """A row for each variant, a column for each number of routes."""
    counts = sizes(results, scenario)
    rows = []
    for variant in variants(results, scenario):
        values = [cell(variant, count) for count in counts]
        if any(value is not None for value in values):
            rows.append([variant, *("-" if value is None else show(value) for value in values)])
    if not rows:
        return ""
    return f"**{scenario}**: {title}\n\n{table(['routes', *(f'{count:,}' for count in counts)], rows)}"


def _by_measure(results: Results, scenario: str, title: str) -> Iterable[str]:
    """For each number of routes a table: a row for each measure, a column for each variant."""
    for count in sizes(results, scenario):
        series = [one for one in results.series if (one.scenario, one.routes) == (scenario, count)]
        names = [name for name in variants(results, scenario) if any(one.variant == name for one in series)]
        found = {(one.measure, one.variant): one for one in series}
        rows = []
        for measure in dict.fromkeys(one.measure for one in series):
            cells = [found.get((measure, name)) for name in names]
            rows.append([_in_words(scenario, measure), *(shown(one.unit, one.median) if one else "-" for one in cells)])
        yield f"**{scenario}**: {title}, {count:,} routes\n\n{table(['', *names], rows)}"


def _in_words(scenario: str, measure: str) -> str:
    number, _, rest = measure.partition(".")
    if scenario == "burst":
        return f"{int(number):,} calls: {_WORDS[rest]}"
    if scenario == "churn":
        return f"{number} a second: {_WORDS[rest]}"
    return _WORDS[measure]


_WORDS = {
    "served": "until all are served",
    "returned": "until all calls have returned",
    "done": "until both",
    "blocked": "longest block of the hub's loop",
    "route.cpu": "CPU of the proxy for each",
    "change-after.done": "one change with them there",
    "drain": "from the last call until all is at rest",
    "lag.p50": "lag, median",
    "lag.max": "lag, longest",
    "quiet.p50": "requests without changes, median",
    "quiet.p99": "requests without changes, p99",
    "quiet.max": "requests without changes, longest",
    "requests.p50": "requests, median",
    "requests.p99": "requests, p99",
    "requests.max": "requests, longest",
    "proxy.cores": "cores of the proxy",
    "hub-part.cores": "cores of the hub part",
    "full": "with the routes in the store",
    "empty": "with an empty store",
    "idle.connect": "time to connect an idle one",
    "idle.memory": "memory of the proxy for an idle one",
    "busy.rate": "echoes a second",
    "busy.p50": "echo, median",
    "busy.p99": "echo, p99",
}


def _left_out(results: Results) -> str:
    if not results.left_out:
        return ""
    lines = "\n".join(f"- {what}: {why}" for what, why in results.left_out.items())
    return f"**Left out**\n\n{lines}"
