"""Line and bar charts.

Colours can be told apart by everyone (those of Okabe and Ito), and markers, lines and hatches tell the same again.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .results import Series

# By kind, so that ours, the others and a bare Traefik differ at first sight.
_COLOURS = {"peer": "#D55E00", "chp": "#0A0A0A", "bare": "#8C8C8C"}
_LINES: dict[str, Any] = {"peer": (0, (1, 1.5)), "bare": (0, (3, 1.5, 1, 1.5))}
_HATCHES = {"peer": "//", "bare": "xx"}
_MARKERS = {"peer": "X", "chp": "D", "bare": "v"}
# Backends of ours, in their order: all blue.
_OWN = (("#08306B", "s"), ("#0072B2", "o"), ("#56A0D3", "P"), ("#9CC7E8", "p"), ("#3B4CC0", "*"), ("#6F92F3", "<"))
# Ours with other options, in the order of their names.
_OPTION_COLOURS = ("#009E73", "#CC79A7", "#E69F00")

#: Of text and axes. Nothing is quite black: matplotlib leaves that out of a file, so that no style sheet can change it.
INK = "#1b1f24"


@dataclass(frozen=True, slots=True)
class Page:
    """What a chart is drawn for. Sizes are in inches."""

    #: Added to the names of files.
    suffix: str
    #: Of one panel alone in its row, and of several in a row.
    width: float
    row: float
    #: At most so many panels in a row.
    columns: int
    #: Where a legend is, and how many of its names are in a row.
    legend: str
    names: int
    #: Bars have their names above them, and not beside.
    is_narrow: bool = False

    def label(self, text: str) -> str:
        """Of an axis that goes up."""
        return textwrap.fill(text, 20) if self.is_narrow else text


WIDE = Page("", 8.0, 10.4, 3, "outside right center", 1)
#: On a phone it is shrunk by a fifth, and then still has letters of 10 pixels.
NARROW = Page("-narrow", 4.1, 4.1, 1, "outside lower left", 2, is_narrow=True)

_HEIGHT = 4.6
#: Letters in a line of a panel's title.
_TITLE = 40


@dataclass(frozen=True, slots=True)
class Look:
    """How a variant is drawn."""

    colour: str
    line: Any
    marker: str
    hatch: str

    @classmethod
    def of(cls, series: Series, backends: Sequence[str], options: Sequence[str]) -> Look:
        """The look of the variant of `series`; the run has these `backends` of ours, and these `options`."""
        if series.option:
            colour = _OPTION_COLOURS[options.index(series.option) % len(_OPTION_COLOURS)]
            return cls(colour, (0, (5, 2)), "o", "")
        kind = series.kind
        if kind == "own":
            colour, marker = _OWN[backends.index(series.backend) % len(_OWN)]
            return cls(colour, "-", marker, "")
        return cls(_COLOURS[kind], _LINES.get(kind, "-"), _MARKERS[kind], _HATCHES.get(kind, ""))


#: For ours, where the backends need not differ.
OURS = Look("#0072B2", "-", "o", "")


@dataclass(slots=True)
class LinePanel:
    """Lines by the names of their looks: a value for each number of routes."""

    title: str
    label: str
    lines: dict[str, list[tuple[int, float]]]


@dataclass(slots=True)
class BarPanel:
    """Bars: the name of each, its look, its value."""

    title: str
    label: str
    bars: list[tuple[str, Look, float]] = field(default_factory=list)


def line_chart(
    panels: Sequence[LinePanel],
    looks: Mapping[str, Look],
    page: Page,
    *,
    is_log: bool,
    columns: int = 2,
    shared: bool = True,
) -> Any:
    """The panels in rows of so many, with one legend, on the same scale if it is `shared`; None when all are empty."""
    from matplotlib.figure import Figure

    panels = [panel for panel in panels if panel.lines]
    if not panels:
        return None
    counts = sorted({count for panel in panels for points in panel.lines.values() for count, _ in points})
    columns = min(columns, page.columns, len(panels))
    rows = -(-len(panels) // columns)
    height = _HEIGHT if rows == 1 else (2.9 if page.is_narrow else 3.4) * rows
    size = (page.width if columns == 1 else page.row, height)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharey=shared, squeeze=False)
    handles: dict[str, Any] = {}
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.remove()
            continue
        handles |= _lines(axes, panels[place], looks)
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count / 1000:g}k" if count >= 1000 else str(count) for count in counts])
        if is_log:
            axes.set_yscale("log")
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.set_xlabel("routes")
        if place % columns == 0 or not shared:
            axes.set_ylabel(page.label(panels[place].label))
        axes.set_title(textwrap.fill(panels[place].title, _TITLE), fontsize=11)
        _finish(axes, "both")
    if not is_log:  # now that all lines are there
        for axes in figure.axes:
            axes.set_ylim(bottom=0)
    names = [name for name in looks if name in handles]
    figure.legend([handles[name] for name in names], names, loc=page.legend, ncols=page.names, frameon=False)
    return figure


def _lines(axes: Any, panel: LinePanel, looks: Mapping[str, Look]) -> dict[str, Any]:
    handles = {}
    for name, points in panel.lines.items():
        look = looks[name]
        (handles[name],) = axes.plot(
            *zip(*points, strict=True), color=look.colour, linestyle=look.line, marker=look.marker, markersize=6
        )
    return handles


def empty_chart(text: str, page: Page) -> Any:
    """A chart with only `text`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(page.width, 0.5))
    figure.text(0, 0.5, text)
    return figure


def bar_chart(panels: Sequence[BarPanel], page: Page, *, columns: int = 1) -> Any:
    """The panels in rows of so many; None when all are empty.

    Each has a scale of its own, which is logarithmic where the values span decades.
    """
    from matplotlib.figure import Figure

    panels = [panel for panel in panels if panel.bars]
    if not panels:
        return None
    columns = min(columns, page.columns, len(panels))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [0.9 + (0.42 if page.is_narrow else 0.28) * max(len(panel.bars) for panel in row) for row in rows]
    figure = Figure(figsize=(page.width if columns == 1 else page.row, sum(heights)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for row, all_axes in zip(rows, grid, strict=True):
        for axes in all_axes[len(row) :]:
            axes.remove()
        for axes, panel in zip(all_axes, row, strict=False):
            _bars(axes, panel, page)
    return figure


def _bars(axes: Any, panel: BarPanel, page: Page) -> None:
    for place, (name, look, value) in enumerate(reversed(panel.bars)):
        height = 0.45 if page.is_narrow else 0.7
        axes.barh(place, value, color=look.colour, hatch=look.hatch, edgecolor="white", height=height)
        axes.annotate(f" {value:,.0f}" if value >= 100 else f" {value:.3g}", (value, place), va="center", fontsize=9)
        if page.is_narrow:
            axes.text(0, place + 0.27, name, transform=axes.get_yaxis_transform(), va="bottom", fontsize=9)
    axes.set_yticks(range(len(panel.bars)), [name for name, _, _ in reversed(panel.bars)])
    if page.is_narrow:
        axes.tick_params(axis="y", labelleft=False)
        axes.set_ylim(-0.5, len(panel.bars))
    values = [value for _, _, value in panel.bars]
    if max(values) / min(values) < 20:
        axes.set_xlim(0, max(values) * 1.15)
    else:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 4, max(values) * 4)
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel(panel.label)
    axes.set_title(textwrap.fill(panel.title, _TITLE), fontsize=11, loc="left")
    _finish(axes, "x")


def _finish(axes: Any, grid: Any) -> None:
    axes.grid(True, axis=grid, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
