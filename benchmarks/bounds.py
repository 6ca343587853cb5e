"""What a run must show: ratios of figures that were measured in turn in that run, and a few plain figures."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from .figures import worst_throughput
from .results import Results
from .variants import BARE, CHP, METRICS, own


@dataclass(frozen=True, slots=True)
class Found:
    """A figure of ours, in `unit`, and another one that it is compared with; None: it stands for itself."""

    ours: float
    theirs: float | None
    unit: str

    @property
    def value(self) -> float:
        return self.ours if self.theirs is None else self.ours / self.theirs


@dataclass(frozen=True, slots=True)
class Bound:
    """What must not be above, or below, a limit."""

    what: str
    #: None: the figure is only shown.
    limit: float | None
    #: The figures for the one of ours with this backend; None when they were not measured.
    find: Callable[[Results, str], Found | None]
    is_least: bool = False
    #: The unit of a limit that is no ratio.
    unit: str = ""
    #: The backends that it is for; for others it is only shown. Empty: all.
    backends: Collection[str] = ()

    def is_met(self, found: Found, backend: str) -> bool | None:
        """Whether it is met; None: there is no limit for this backend."""
        if self.limit is None or (self.backends and backend not in self.backends):
            return None
        return found.value >= self.limit if self.is_least else found.value <= self.limit


_Figure = Callable[[Results, str], float | None]


def _of(scenario: str, routes: int, measure: str, option: str = "") -> _Figure:
    """Of ours with a backend, in the way `option`."""
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
    Bound("the same in seconds", 0.015, _plain("s", _ADD), unit="s", backends=("toml",)),
    Bound("the same against 10 routes", 1.5, _ratio("s", _ADD, _of("change", 10, "add.done")), backends=("toml",)),
    Bound(
        "Traefik's CPU for a change at 10,000, against CHP's",
        1.5,
        _ratio("s", _of("change", 10_000, "any.cpu"), _chp("change", 10_000, "any.cpu")),
    ),
    Bound(
        "burst of 1,000 into 1,000, until served and returned, against CHP",
        2,
        _ratio("s", _of("burst", 1_000, "1000.done"), _chp("burst", 1_000, "1000.done")),
    ),
    Bound(
        "churn of 50 a second at 10,000: requests' p99 against that without changes",
        1.5,
        _ratio("s", _of("churn", 10_000, "50.requests.p99"), _of("churn", 10_000, "50.quiet.p99")),
    ),
    Bound(
        "requests a second, worst route at 10,000, against CHP",
        2.3,
        _ratio("1/s", _WORST, _worst(10_000, lambda _: CHP.name)),
        is_least=True,
    ),
    Bound(
        "the same against a bare Traefik with one router",
        0.85,
        _ratio("1/s", _WORST, _worst(10_000, lambda _: BARE.name)),
        is_least=True,
    ),
    Bound(
        "memory of Traefik at 10,000 with 1,000 arrivals' websockets, metrics on, against CHP's",
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
            f"20,000 routes that came and went: memory of {name}, against before",
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
            f"CPU of a request at {routes:,}, against store delivery",
            1.05,
            _ratio("s", _of("requests", routes, "user.cpu"), _of("requests", routes, "user.cpu", "store")),
        )
        for routes in (10, 1_000, 10_000)
    ),
    *(
        Bound(
            f"CPU of a request at {routes:,}, against a bare Traefik with one router",
            None,
            _ratio("s", _of("requests", routes, "user.cpu"), _bare("requests", routes, "user.cpu")),
        )
        for routes in (10, 1_000, 10_000)
    ),
    Bound("one add at 50,000 routes", None, _plain("s", _of("change", 50_000, "add.done")), unit="s"),
    Bound("all of a table of 50,000 handed over", None, _plain("s", _of("snapshot", 50_000, "snapshot")), unit="s"),
    *(
        Bound(
            f"memory of {name} at 50,000",
            None,
            _plain("bytes", _of("footprint", 50_000, f"{part}.memory")),
            unit="bytes",
        )
        for part, name in (("hub-part", "the hub part"), ("proxy", "Traefik"))
    ),
]
