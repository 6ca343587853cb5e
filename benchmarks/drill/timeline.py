"""The drill over time: counted for each second, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from servers.errors import Missing

from .events import Change, Event
from .judging import Row

_GOOD, _FAILED, _HUB, _LIVE, _REFUSED = "#009E73", "#D55E00", "#E69F00", "#0072B2", "#CC79A7"
_SHADE = "#dddddd"
# Characters: the shortest of all rows has no more room.
_TITLE_WIDTH = 12


@dataclass(slots=True)
class Bins:
    """Counts for each second of the drill."""

    good: list[int]
    #: Requests and downloads that failed or were answered by the wrong one.
    failed: list[int]
    hub_failed: list[int]
    dropped: list[int]
    #: Changes that were live, and that failed.
    live: list[int]
    refused: list[int]


def bins(events: Sequence[Event], changes: Sequence[Change], began: float, ended: float) -> Bins:
    """What ended in each second from `began` to `ended`."""
    count = int(ended - began) + 1
    made = Bins(*([0] * count for _ in range(6)))

    def add(row: list[int], when: float) -> None:
        if began <= when <= ended:
            row[int(when - began)] += 1

    for event in events:
        is_good = event.outcome == "ok"
        if event.kind == "hub":
            add(made.good if is_good else made.hub_failed, event.ended)
        elif event.kind == "websocket":
            add(made.dropped, event.ended)
        else:
            add(made.good if is_good else made.failed, event.ended)
    for change in changes:
        if change.live is not None:
            add(made.live, change.live)
        elif change.error and change.returned is not None:
            add(made.refused, change.returned)
    return made


def draw(name: str, rows: Sequence[Row], began: float, counts: Bins, file: Path) -> None:
    """Draw it into `file`. Raises Missing without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise Missing('matplotlib is missing, so there is no picture (pip install "jhub-kvproxy[bench]")') from None
    figure = Figure(figsize=(14, 7), layout="constrained")
    requests, failures, changes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 2])
    seconds = range(len(counts.good))
    requests.step(seconds, counts.good, where="post", color=_GOOD, linewidth=1.2)
    requests.set_ylabel("good answers/s")
    requests.set_ylim(bottom=0)
    _stack(
        failures,
        (
            (counts.failed, _FAILED, "failed requests", ""),
            (counts.hub_failed, _HUB, "failed requests for the hub", "//"),
            (counts.dropped, _REFUSED, "dropped websockets", "xx"),
        ),
    )
    failures.set_yscale("symlog", linthresh=10)  # shows even a single failure
    failures.yaxis.set_major_formatter("{x:g}")
    failures.set_ylabel("failures/s")
    failures.set_ylim(
        bottom=0,
        top=max(5, *(sum(at) * 1.1 for at in zip(counts.failed, counts.hub_failed, counts.dropped, strict=True))),
    )
    _stack(changes, ((counts.live, _LIVE, "live", ""), (counts.refused, _REFUSED, "failed", "xx")))
    changes.set_ylabel("route changes/s")
    changes.set_xlabel("seconds")
    for axes in (requests, failures, changes):
        _mark(axes, rows, began)
        axes.grid(True, axis="y", color=_SHADE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(0, len(counts.good))
    for axes in (failures, changes):
        axes.legend(loc="upper right", framealpha=0.9, ncols=3, fontsize=8)
    for row in rows:
        sign = "\n(missed)" if row.missed else ""
        middle = (row.began + row.ended) / 2 - began
        title = fill(row.title, _TITLE_WIDTH, break_long_words=False)
        requests.annotate(
            f"{title}{sign}", (middle, 1.02), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8
        )
    figure.suptitle(f"The drill on {name}", fontsize=12)
    figure.savefig(file, dpi=110, facecolor="white", metadata={"Software": None})


def _stack(axes: Any, layers: Sequence[tuple[list[int], str, str, str]]) -> None:
    below = [0] * len(layers[0][0])
    for values, colour, name, hatch in layers:
        axes.bar(range(len(values)), values, width=1, align="edge", bottom=below, color=colour, hatch=hatch, label=name)
        below = [first + second for first, second in zip(below, values, strict=True)]


def _mark(axes: Any, rows: Sequence[Row], began: float) -> None:
    """Lines between the rows; the time that something was away is shaded, and a moment is a dashed line."""
    for row in rows:
        axes.axvline(row.began - began, color="#999999", linewidth=0.8)
        if row.marks.fault is not None:
            axes.axvline(row.marks.fault - began, color="black", linewidth=1, linestyle="--")
            if row.marks.back is not None:
                axes.axvspan(row.marks.fault - began, row.marks.back - began, color=_SHADE, zorder=0)
