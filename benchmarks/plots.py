"""The plots, and the content of each."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from servers.errors import Missing

from .charts import INK, NARROW, OURS, WIDE, BarPanel, LinePanel, Look, Page, bar_chart, empty_chart, line_chart
from .dark import with_dark
from .figures import own, sizes, variants, worst_throughput
from .names import names
from .results import Results
from .scenarios import SCENARIOS

_Looks = dict[str, Look]


def draw(results: Results, directory: Path) -> list[Path]:
    """Draw all plots into `directory`, for wide and for narrow screens, with what names mean; returns the files.

    Raises Missing without matplotlib.
    """
    try:
        import matplotlib
    except ImportError:
        raise Missing('matplotlib is missing, so there are no plots (pip install "jhub-kvproxy[bench]")') from None
    inked = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK)
    # The same figures always give the same file.
    settings = {"svg.hashsalt": "kvproxy", "font.size": 10, "hatch.linewidth": 0.6, **inked}
    looks = _looks(results)
    drawn = []
    with matplotlib.rc_context(settings):
        for name, plot in _PLOTS.items():
            drawn.append(directory / f"{name}-names.md")
            drawn[-1].write_text(names(results, name))
            for page in (WIDE, NARROW):
                drawn.append(directory / f"{name}{page.suffix}.svg")
                # Draw it even without figures, to replace one of another run, and because the page shows them all.
                figure = plot(results, looks, page) or empty_chart(f"{name}: not measured", page)
                drawn[-1].write_text(with_dark(_svg(figure)))
    return drawn


def _svg(figure: Any) -> str:
    written = StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None}, facecolor="white", bbox_inches="tight")
    return written.getvalue()


def _looks(results: Results) -> _Looks:
    """The look of each variant: ours, the others, a bare Traefik."""
    options = sorted({series.option for series in results.series if series.option})
    found = {series.variant: Look.of(series, own(results), options) for series in results.series}
    order = dict.fromkeys(name for scenario in SCENARIOS for name in variants(results, scenario))
    return {name: found[name] for name in order}


def _requests(results: Results, looks: _Looks, page: Page) -> Any:
    def worst(variant: str, count: int) -> float | None:
        return worst_throughput(results, variant, count)

    cpu = {
        name: [(count, value * 1e6) for count, value in points]
        for name, points in _lines(results, "requests", _median(results, "requests", "user.cpu")).items()
    }
    panels = [
        LinePanel("Requests to the slowest route", "requests a second", _lines(results, "requests", worst)),
        LinePanel("CPU of the proxy for one request", "microseconds", cpu),
    ]
    return line_chart(panels, looks, page, is_log=True, shared=False)


def _change(results: Results, looks: _Looks, page: Page) -> Any:
    """A panel for each backend, with what is compared with it; in all of them the same look for the same kind."""
    lines = _lines(results, "change", _median(results, "change", "any.done"))
    of_change = {series.variant: series for series in results.of("change", "any.done")}
    panels = {name: LinePanel(f"One change: {name}", "seconds until served and returned", {}) for name in own(results)}
    of_kind: dict[str, Look] = {}
    for name in [name for name in looks if name in lines]:
        series = of_change[name]
        kind = _KINDS.get(series.kind, series.kind) + (f" ({series.option})" if series.option else "")
        of_kind.setdefault(kind, OURS if kind == _KINDS["own"] else looks[name])
        for backend, panel in panels.items():
            if series.backend in ("", backend):
                panel.lines[kind] = lines[name]
    return line_chart(list(panels.values()), of_kind, page, is_log=True)


def _footprint(results: Results, looks: _Looks, page: Page) -> Any:
    panels = []
    for title, part in (("hub part", "hub-part"), ("proxy", "proxy"), ("store", "store")):
        lines = _lines(results, "footprint", _median(results, "footprint", f"{part}.memory"))
        megabytes = {name: [(count, value / 1e6) for count, value in points] for name, points in lines.items()}
        panels.append(LinePanel(f"Memory of the {title} at rest", "MB", megabytes))
    return line_chart(panels, looks, page, is_log=False, columns=3)


def _reads(results: Results, looks: _Looks, page: Page) -> Any:
    panels = [
        LinePanel(title, "seconds", _lines(results, "reads", _median(results, "reads", measure)))
        for title, measure in (("get_all_routes", "all"), ("Longest block of the event loop by it", "all.blocked"))
    ]
    return line_chart(panels, looks, page, is_log=True)


def _burst(results: Results, looks: _Looks, page: Page) -> Any:
    panels = []
    for count in sizes(results, "burst"):
        of_size = [series for series in results.series if (series.scenario, series.routes) == ("burst", count)]
        for calls in dict.fromkeys(series.measure.partition(".")[0] for series in of_size):
            title = f"{int(calls):,} calls at once into {count:,} routes"
            panel = BarPanel(title, "seconds until all are served and have returned")
            for name in variants(results, "burst"):
                _bar(panel, name, looks[name], results.median("burst", name, count, f"{calls}.done"))
            panels.append(panel)
    return bar_chart(panels, page)


def _churn(results: Results, looks: _Looks, page: Page) -> Any:
    rates = sorted({int(series.measure.partition(".")[0]) for series in results.series if series.scenario == "churn"})
    panels = []
    for count in sizes(results, "churn"):
        for title, measure in (("median lag", "lag.p50"), ("requests' p99", "requests.p99")):
            panel = BarPanel(f"Changes into {count:,} routes: {title}", "seconds")
            for rate in rates:
                for name in variants(results, "churn"):
                    value = results.median("churn", name, count, f"{rate}.{measure}")
                    _bar(panel, f"{name}, {rate} a second", looks[name], value)
            panels.append(panel)
    return bar_chart(panels, page, columns=2)


def _restart(results: Results, looks: _Looks, page: Page) -> Any:
    panels = []
    for count in sizes(results, "restart"):
        for title, measure in (("in the store", "full"), ("empty store", "empty")):
            panel = BarPanel(f"Hub start, {count:,} routes, {title}", "seconds until all are served")
            for name in variants(results, "restart"):
                _bar(panel, name, looks[name], results.median("restart", name, count, measure))
            panels.append(panel)
    return bar_chart(panels, page, columns=2)


def _arrivals(results: Results, looks: _Looks, page: Page) -> Any:
    panels = []
    for count in sizes(results, "arrivals"):
        for title, measure in (("in all", "open.memory"), ("for each", "each.memory")):
            panel = BarPanel(f"Memory of the proxy at {count:,} routes, {title}", "MB")
            of_measure = [series for series in results.series if series.measure.partition(".")[2] == measure]
            for series in of_measure:
                if (series.scenario, series.routes) == ("arrivals", count):
                    users = int(series.measure.partition(".")[0])
                    name = f"{series.variant}, {users:,} users"
                    _bar(panel, name, looks[series.variant], max(series.median / 1e6, 0.001))
            panels.append(panel)
    return bar_chart(panels, page, columns=2)


def _median(results: Results, scenario: str, measure: str) -> Callable[[str, int], float | None]:
    return lambda variant, count: results.median(scenario, variant, count, measure)


def _lines(
    results: Results, scenario: str, figure: Callable[[str, int], float | None]
) -> dict[str, list[tuple[int, float]]]:
    """`figure` of each variant and number of routes, where it is known."""
    counts = sizes(results, scenario)
    lines = {
        name: [(count, value) for count in counts if (value := figure(name, count)) is not None]
        for name in variants(results, scenario)
    }
    return {name: points for name, points in lines.items() if points}


def _bar(panel: BarPanel, name: str, look: Look, value: float | None) -> None:
    if value:
        panel.bars.append((name, look, value))


_KINDS = {"own": "jhub-kvproxy", "chp": "CHP"}

_PLOTS: dict[str, Callable[[Results, _Looks, Page], Any]] = {
    "requests": _requests,
    "change": _change,
    "burst": _burst,
    "churn": _churn,
    "restart": _restart,
    "reads": _reads,
    "footprint": _footprint,
    "arrivals": _arrivals,
}
