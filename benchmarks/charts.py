"""Line and bar charts.

Colours can be told apart by everyone (those of Okabe and Ito), and markers, lines and hatches tell the same again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .results import Series

_COLOURS = {"toml": "#0072B2", "etcd": "#009E73", "consul": "#CC79A7", "redis": "#D55E00"}
_SPARE = ("#E69F00", "#56B4E9", "#F0E442")
_OF_KIND = {"chp": "#000000", "nginx": "#999999"}
_LINES: dict[str, Any] = {"flat": (0, (5, 2)), "peer": (0, (1, 1.5)), "floor": (0, (3, 1.5, 1, 1.5))}
_MARKERS = {"own": "o", "flat": "s", "peer": "X", "chp": "D", "nginx": "^", "floor": "v"}
_HATCHES = {"flat": "..", "peer": "//", "floor": "xx"}

_WIDTH, _HEIGHT = 8.0, 4.6


@dataclass(frozen=True, slots=True)
class Look:
    """How a variant is drawn."""

    colour: str
    line: Any
    marker: str
    hatch: str

    @classmethod
    def of(cls, series: Series, strangers: Sequence[str]) -> Look:
        """For the variant of `series`; `strangers` are the backends in a run that are not ours."""
        kind = "flat" if series.routing else series.kind
        colours = {**_COLOURS, **dict(zip(strangers, _SPARE, strict=False))}
        colour = _OF_KIND.get(series.kind) or colours.get(series.backend, _SPARE[-1])
        return cls(colour, _LINES.get(kind, "-"), _MARKERS[kind], _HATCHES.get(kind, ""))


def strangers(backends: Sequence[str]) -> list[str]:
    return [backend for backend in backends if backend not in _COLOURS]


@dataclass(slots=True)
class LinePanel:
    """Lines by their names: a value for each number of routes."""

    title: str
    label: str
    lines: dict[str, list[tuple[int, float]]]


@dataclass(slots=True)
class BarPanel:
    """Bars: the name of each, its look, its value."""

    title: str
    label: str
    bars: list[tuple[str, Look, float]] = field(default_factory=list)


def line_chart(panels: Sequence[LinePanel], looks: dict[str, Look], *, is_log: bool) -> Any:
    """The panels beside each other, on the same scale, with one legend; None when they are empty."""
    from matplotlib.figure import Figure

    counts = sorted({count for panel in panels for points in panel.lines.values() for count, _ in points})
    if not counts:
        return None
    figure = Figure(figsize=(_WIDTH if len(panels) == 1 else _WIDTH * 1.4, _HEIGHT), layout="constrained")
    handles: dict[str, Any] = {}
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        for name, points in panel.lines.items():
            look = looks[name]
            (handles[name],) = axes.plot(
                *zip(*points, strict=True), color=look.colour, linestyle=look.line, marker=look.marker
            )
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count / 1000:g}k" if count >= 1000 else str(count) for count in counts])
        if is_log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.set_xlabel("routes")
        axes.set_ylabel(panel.label)
        axes.set_title(panel.title, fontsize=11)
        _finish(axes, "both")
    figure.legend(handles.values(), handles.keys(), loc="outside right center", frameon=False)
    return figure


def bar_chart(panels: Sequence[BarPanel], *, columns: int = 1) -> Any:
    """The panels in rows of so many, each with a logarithmic scale of its own; None when all are empty."""
    from matplotlib.figure import Figure

    panels = [panel for panel in panels if panel.bars]
    if not panels:
        return None
    columns = min(columns, len(panels))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [0.9 + 0.28 * max(len(panel.bars) for panel in row) for row in rows]
    figure = Figure(figsize=(_WIDTH * (1 if columns == 1 else 1.3), sum(heights)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for row, all_axes in zip(rows, grid, strict=True):
        for axes in all_axes[len(row) :]:
            axes.remove()
        for axes, panel in zip(all_axes, row, strict=False):
            _bars(axes, panel)
    return figure


def _bars(axes: Any, panel: BarPanel) -> None:
    for place, (_, look, value) in enumerate(reversed(panel.bars)):
        axes.barh(place, value, color=look.colour, hatch=look.hatch, edgecolor="white", height=0.7)
        axes.annotate(f" {value:,.0f}" if value >= 1000 else f" {value:.3g}", (value, place), va="center", fontsize=9)
    axes.set_yticks(range(len(panel.bars)), [name for name, _, _ in reversed(panel.bars)])
    values = [value for _, _, value in panel.bars]
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 4, max(values) * 4)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel(panel.label)
    axes.set_title(panel.title, fontsize=11, loc="left")
    _finish(axes, "x")


def _finish(axes: Any, grid: Any) -> None:
    axes.grid(True, axis=grid, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
