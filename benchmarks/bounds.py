"""The bounds that a run must meet: ratios of figures of that run, and a few plain figures."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from .figures import worst_throughput
from .results import Results
from .variants import BARE, CHP, METRICS, own


@dataclass(frozen=True, slots=True)
class Found:
    """A figure of ours, in `unit`, and the figure that it is compared with, if any."""

    ours: float
    theirs: float | None
    unit: str

    @property
    def value(self) -> float:
        return self.ours if self.theirs is None else self.ours / self.theirs


@dataclass(frozen=True, slots=True)
class Bound:
    """An upper limit of a figure, or a lower one (`is_least`)."""

    what: str
    #: None: the figure is only shown.
    limit: float | None
    #: The figures for this backend; None if they were not measured.
    find: Callable[[Results, str], Found | None]
    is_least: bool = False
    #: The unit of a limit that is not a ratio.
    unit: str = ""
    #: The backends that must meet it; for others it is only shown. Empty: all.
    backends: Collection[str] = ()

    def is_met(self, found: Found, backend: str) -> bool | None:
        """Whether it is met; None: there is no limit for this backend."""
        if self.limit is None or (self.backends and backend not in self.backends):
            return None
        return found.value >= self.limit if self.is_least else found.value <= self.limit


_Figure = Callable[[Results, str], float | None]


def _of(scenario: str, routes: int, measure: str, option: str = "") -> _Figure:
    """A measure of ours with a backend and this `option`."""
    return lambda results, backend: results.median(scenario, own(backend, option).name, routes, measure)


def _chp(scenario: str, routes: int, measure: str) -> _Figure:
    return lambda results, _: results.median(scenario, CHP.name, routes, measure)


def _bare(scenario: str, routes: int, measure: str) -> _Figure:
    return lambda results, _: results.median(scenario, BARE.name, routes, measure)


def _worst(routes: int, variant: Callable[[str], str]) -> _Figure:
    return lambda results, backend: worst_throughput(results, variant(backend), routes)


def _ratio(unit: str, ours: _Figure, theirs: _Figure) -> Callable[[Results, str], Found | None]:
    def find(results: Results, backend: str) -> Found | None:
        one, other = ours(results, backend), theirs(results, backend)
        return Found(one, other, unit) if one is not None and other else None

    return find


def _plain(unit: str, ours: _Figure) -> Callable[[Results, str], Found | None]:
    def find(results: Results, backend: str) -> Found | None:
        one = ours(results, backend)
        return None if one is None else Found(one, None, unit)

    return find


_ADD = _of("change", 10_000, "add.done")
_WORST = _worst(10_000, lambda backend: own(backend).name)

BOUNDS = [
    Bound(
        "one add at 10,000 routes, until served and returned, against CHP",
        8,
        _ratio("s", _ADD, _chp("change", 10_000, "add.done")),
        backends=("toml",),
    ),
    Bound("one add at 10,000 routes, in seconds", 0.015, _plain("s", _ADD), unit="s", backends=("toml",)),
    Bound(
        "one add at 10,000 routes, against 10 routes",
        1.5,
        _ratio("s", _ADD, _of("change", 10, "add.done")),
        backends=("toml",),
    ),
    Bound(
        "Traefik's CPU for a change at 10,000 routes, against CHP's",
        1.5,
        _ratio("s", _of("change", 10_000, "any.cpu"), _chp("change", 10_000, "any.cpu")),
    ),
    Bound(
        "1,000 calls at once into 1,000 routes, until served and returned, against CHP",
        2,
        _ratio("s", _of("burst", 1_000, "1000.done"), _chp("burst", 1_000, "1000.done")),
    ),
    Bound(
        "p99 of requests with 50 changes a second at 10,000 routes, against without changes",
        1.5,
        _ratio("s", _of("churn", 10_000, "50.requests.p99"), _of("churn", 10_000, "50.quiet.p99")),
    ),
    Bound(
        "requests a second, slowest of 10,000 routes, against CHP",
        2.3,
        _ratio("1/s", _WORST, _worst(10_000, lambda _: CHP.name)),
        is_least=True,
    ),
    Bound(
        "requests a second, slowest of 10,000 routes, against a bare Traefik",
        0.85,
        _ratio("1/s", _WORST, _worst(10_000, lambda _: BARE.name)),
        is_least=True,
    ),
    Bound(
        "memory at 10,000 routes with 1,000 users' open websockets, metrics on, against CHP",
        2.5,
        _ratio(
            "bytes",
            _of("arrivals", 10_000, "1000.open.memory", METRICS),
            _chp("arrivals", 10_000, "1000.open.memory"),
        ),
    ),
    Bound(
        "start with 10,000 routes in the store, until served",
        2.0,
        _plain("s", _of("restart", 10_000, "full")),
        unit="s",
    ),
    *(
        Bound(
            f"memory of {name} after 20,000 routes came and went, against before",
            1.05,
            _ratio(
                "bytes",
                _of("cycles", 1_000, f"20000.{part}.after.memory"),
                _of("cycles", 1_000, f"20000.{part}.before.memory"),
            ),
        )
        for part, name in (("hub-part", "the hub part"), ("proxy", "Traefik"))
    ),
    *(
        Bound(
            f"CPU of a request at {routes:,} routes, against store delivery",
            1.05,
            _ratio("s", _of("requests", routes, "user.cpu"), _of("requests", routes, "user.cpu", "store")),
        )
        for routes in (10, 1_000, 10_000)
    ),
    *(
        Bound(
            f"CPU of a request at {routes:,} routes, against a bare Traefik",
            None,
            _ratio("s", _of("requests", routes, "user.cpu"), _bare("requests", routes, "user.cpu")),
        )
        for routes in (10, 1_000, 10_000)
    ),
    Bound("one add at 50,000 routes", None, _plain("s", _of("change", 50_000, "add.done")), unit="s"),
    Bound("push of a whole table of 50,000 routes", None, _plain("s", _of("snapshot", 50_000, "snapshot")), unit="s"),
    *(
        Bound(
            f"memory of {name} at 50,000 routes",
            None,
            _plain("bytes", _of("footprint", 50_000, f"{part}.memory")),
            unit="bytes",
        )
        for part, name in (("hub-part", "the hub part"), ("proxy", "Traefik"))
    ),
]
