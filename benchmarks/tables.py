"""The figures of each scenario as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .figures import sizes, variants, worst_throughput
from .markdown import cores, joined, memory, rate, seconds, shown, table
from .results import Results
from .scenarios import SCENARIOS

_Cell = Callable[[str, int], float | None]


def figures(results: Results) -> dict[str, str]:
    """The tables of each scenario, by its name; empty ones for what was not measured."""
    return {name: joined(*_TABLES[name](results)) for name in SCENARIOS}


def _requests(results: Results) -> Iterable[str]:
    yield _by_size(
        results, "requests", "requests a second, slowest route", lambda v, n: worst_throughput(results, v, n), rate
    )
    for measure, title in (
        ("new-connections.throughput", "requests a second, each on a new connection"),
        ("1-MB.throughput", "requests a second with a body of 1 MB"),
    ):
        yield _by_size(results, "requests", title, _median(results, "requests", measure), rate)
    cell = _median(results, "requests", "user.cpu")
    yield _by_size(results, "requests", "CPU of the proxy for a request to a user's route", cell, seconds)
    for measure, title in (("hub.p50", "median"), ("hub.p99", "p99")):
        cell = _median(results, "requests", measure)
        yield _by_size(results, "requests", f"{title} of requests to the hub's route", cell, seconds)


def _change(results: Results) -> Iterable[str]:
    for measure, title in (
        ("add.done", "one add, until it is served and the call has returned"),
        ("retarget.done", "one retarget, until it is served and the call has returned"),
        ("delete.done", "one delete, until it is served and the call has returned"),
        ("any.done", "any of the three, until it is served and the call has returned"),
        ("any.served", "any of the three, until it is served"),
        ("any.cpu", "CPU of the proxy for one change"),
    ):
        yield _by_size(results, "change", title, _median(results, "change", measure), seconds)


def _reads(results: Results) -> Iterable[str]:
    for measure, title in (
        ("all", "get_all_routes"),
        ("all.blocked", "get_all_routes: longest block of the hub's event loop"),
        ("one", "get_route"),
    ):
        yield _by_size(results, "reads", title, _median(results, "reads", measure), seconds)


def _snapshot(results: Results) -> Iterable[str]:
    for measure, title in (
        ("snapshot", "the whole table into a running Traefik"),
        ("killed", "from the end of a killed Traefik until the next one serves all routes"),
    ):
        yield _by_size(results, "snapshot", title, _median(results, "snapshot", measure), seconds)


def _footprint(results: Results) -> Iterable[str]:
    for part, title in (("hub-part", "hub part"), ("proxy", "proxy"), ("store", "store")):
        of_part = _median(results, "footprint", f"{part}.memory")
        yield _by_size(results, "footprint", f"memory of the {title}", of_part, memory)
        of_part = _median(results, "footprint", f"{part}.cores")
        yield _by_size(results, "footprint", f"cores of the {title} at rest", of_part, cores)


def _titled(scenario: str, title: str) -> Callable[[Results], Iterable[str]]:
    return lambda results: _by_measure(results, scenario, title)


_TABLES: dict[str, Callable[[Results], Iterable[str]]] = {
    "footprint": _footprint,
    "reads": _reads,
    "requests": _requests,
    "change": _change,
    "burst": _titled("burst", "many calls at once"),
    "churn": _titled("churn", "changes at a steady rate"),
    "restart": _titled("restart", "start of a hub"),
    "snapshot": _snapshot,
    "arrivals": _titled("arrivals", "users who come one after the other"),
    "cycles": _titled("cycles", "routes that come and go"),
    "websockets": _titled("websockets", "idle and busy"),
}


def _median(results: Results, scenario: str, measure: str) -> _Cell:
    return lambda variant, routes: results.median(scenario, variant, routes, measure)


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
    if scenario in _COUNTED:
        return f"{int(number):,} {_COUNTED[scenario]}: {_WORDS[rest]}"
    return _WORDS[measure]


# Some measures begin with a number. This says what it counts.
_COUNTED = {"burst": "calls", "churn": "changes a second", "arrivals": "users", "cycles": "routes"}


_WORDS = {
    "served": "until all are served",
    "returned": "until all calls have returned",
    "done": "until all are served and have returned",
    "blocked": "longest block of the hub's event loop",
    "route.cpu": "CPU of the proxy for each route",
    "drain": "from the last call until all processes are idle",
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
    "open.memory": "memory of the proxy, websockets open",
    "each.memory": "memory of the proxy for each user",
    "hub-part.memory": "memory of the hub part",
    "rate": "routes added and deleted a second",
    "hub-part.before.memory": "memory of the hub part before",
    "hub-part.after.memory": "memory of the hub part after",
    "proxy.before.memory": "memory of the proxy before",
    "proxy.after.memory": "memory of the proxy after",
    "idle.connect": "time to connect an idle websocket",
    "idle.memory": "memory of the proxy for an idle websocket",
    "busy.rate": "echoes a second",
    "busy.p50": "echo, median",
    "busy.p99": "echo, p99",
}
