"""What a run must show, as ratios of figures that were measured in turn in that run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .figures import beside, worst_throughput
from .markdown import ratio as in_words
from .results import Results, unit_of
from .variants import backend_of


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of ours against another one."""

    ours: float
    theirs: float
    unit: str
    #: What must be known to read it, such as that something was scaled.
    notes: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        return self.ours / self.theirs


@dataclass(frozen=True, slots=True)
class Bound:
    """A ratio that must not be above, or below, a limit."""

    what: str
    limit: float
    at_most: bool
    #: The ratio for one of ours, by its name; None when it was not measured.
    ratio: Callable[[Results, str], Ratio | None]

    def is_met(self, ratio: Ratio) -> bool:
        return ratio.value <= self.limit if self.at_most else ratio.value >= self.limit


def _requests_by_size(results: Results, own: str) -> Ratio | None:
    return _ratio("1/s", worst_throughput(results, own, 10_000), worst_throughput(results, own, 10))


def _requests_against(kind: str) -> Callable[[Results, str], Ratio | None]:
    def ratio(results: Results, own: str) -> Ratio | None:
        for other in beside(results, "requests", "hub.throughput", kind, backend_of(own)):
            if other.routes == 10_000:
                theirs = worst_throughput(results, other.variant, 10_000)
                return _ratio("1/s", worst_throughput(results, own, 10_000), theirs, _store(other.backend, own))
        return None

    return ratio


def _change(routes: int, measure: str, kind: str) -> Callable[[Results, str], Ratio | None]:
    """Ours against those of `kind` with the same store."""

    def other(results: Results, kind: str, own: str) -> float | None:
        for series in beside(results, "change", measure, kind, backend_of(own)):
            if series.routes == routes and series.backend == backend_of(own):
                return series.median
        return None

    def ratio(results: Results, own: str) -> Ratio | None:
        theirs, floor = other(results, kind, own), other(results, "floor", own)
        note = ""
        if kind == "peer" and theirs and floor:
            note = f"a raw write to {backend_of(own)} has {in_words(floor / theirs)} of the peer's"
        return _ratio("s", results.median("change", own, routes, measure), theirs, note)

    return ratio


def _restart(results: Results, own: str) -> Ratio | None:
    ours = results.median("restart", own, 5_000, "empty")
    for other in beside(results, "restart", "empty", "peer", backend_of(own)):
        note = f"the peer measured at {other.routes:,} routes and scaled"
        return _ratio("s", ours, other.median * 5_000 / other.routes, note, _store(other.backend, own))
    return None


def _burst(measure: str, is_total: bool) -> Callable[[Results, str], Ratio | None]:
    """Ours against the peer's burst, which may have been a smaller one."""

    def ratio(results: Results, own: str) -> Ratio | None:
        ours = results.median("burst", own, 100, f"200.{measure}")
        for calls in (200, 20):
            for other in beside(results, "burst", f"{calls}.{measure}", "peer", backend_of(own)):
                scale = 200 / calls if is_total else 1.0
                note = "" if calls == 200 else f"the peer measured with {calls}" + (" and scaled" if is_total else "")
                return _ratio(unit_of(measure), ours, other.median * scale, note, _store(other.backend, own))
        return None

    return ratio


def _burst_against_change(results: Results, own: str) -> Ratio | None:
    # With the burst's 1,000 there are 2,000.
    one = results.median("burst", own, 1_000, "1000.change-after.served")
    return _ratio("s", results.median("burst", own, 1_000, "1000.served"), one)


def _churn_latency(results: Results, own: str) -> Ratio | None:
    quiet = results.median("churn", own, 1_000, "20.quiet.p99")
    return _ratio("s", results.median("churn", own, 1_000, "20.requests.p99"), quiet)


def _churn_cores(results: Results, own: str) -> Ratio | None:
    return _ratio("cores", results.median("churn", own, 1_000, "20.proxy.cores"), 1.0)


def _ratio(unit: str, ours: float | None, theirs: float | None, *notes: str) -> Ratio | None:
    return None if ours is None or not theirs else Ratio(ours, theirs, unit, tuple(filter(None, notes)))


def _store(theirs: str, ours: str) -> str:
    return "" if theirs in ("", backend_of(ours)) else f"others than {theirs} are against the peer with {theirs}"


BOUNDS = [
    Bound("requests, worst route, 10,000 against 10 routes", 0.85, False, _requests_by_size),
    Bound("requests, worst route at 10,000, against CHP", 2, False, _requests_against("chp")),
    Bound("requests, worst route at 10,000, against the peer", 7, False, _requests_against("peer")),
    Bound("change at 1,000, until served, against the peer", 1 / 5, True, _change(1_000, "any.served", "peer")),
    # JupyterHub sends the user on only then.
    Bound("the same, until the call has returned too", 1 / 5, True, _change(1_000, "any.done", "peer")),
    *(
        Bound(f"change at {size:,}, against the floor", 1.3, True, _change(size, "any.served", "floor"))
        for size in (10, 1_000, 5_000)
    ),
    Bound("burst of 200 into 100, against the peer", 1 / 20, True, _burst("served", is_total=True)),
    Bound("burst of 1,000 into 1,000, against one change at 2,000", 4, True, _burst_against_change),
    Bound("churn of 20 a second at 1,000: requests' p99 against that without changes", 3, True, _churn_latency),
    Bound("churn of 20 a second at 1,000: cores of Traefik", 0.5, True, _churn_cores),
    Bound("restart, 5,000 routes, empty store, against the peer", 1 / 50, True, _restart),
    Bound("Traefik's CPU per added route, burst of 200, against the peer", 1 / 20, True, _burst("route.cpu", False)),
]
