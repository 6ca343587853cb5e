"""The report of a drill: a table in Markdown, and all figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from servers.errors import Missing

from ..markdown import seconds, table
from .judging import Row
from .site import Size
from .timeline import Bins, draw

_HEAD = (
    "fault",
    "requests",
    "failed",
    "in flight on it",
    "websockets dropped",
    "its own",
    "longest without service",
    "new routes live after",
    "slowest new route",
    "changes failed",
    "routes lost",
    "routes wrong",
    "bound",
)


@dataclass(slots=True)
class Drill:
    """A run on one backend, which began at `began` (monotonic clock)."""

    backend: str
    #: How the table got to Traefik.
    delivery: str
    size: Size
    began: float
    rows: list[Row]
    bins: Bins

    @property
    def name(self) -> str:
        return name_of(self.backend, self.delivery)

    @property
    def is_met(self) -> bool:
        return not any(row.missed for row in self.rows)


def name_of(backend: str, delivery: str) -> str:
    """The name of a drill, also in the names of its files."""
    return backend if delivery == "push" else f"{backend}-{delivery}"


def text(rows: Sequence[Row]) -> str:
    """The table, and below it missed bounds and notes."""
    lines = [table(_HEAD, [_cells(row) for row in rows]), ""]
    for row in rows:
        lines += [f"- {row.title}: missed: {missed}" for missed in row.missed]
        lines += [f"- {row.title}: {note}" for note in row.marks.notes]
        if row.hub_failed:
            lines.append(f"- {row.title}: {row.hub_failed} requests for the hub itself failed")
    return "\n".join(lines) + "\n"


def write(drill: Drill, environment: dict[str, Any], directory: Path) -> list[Path]:
    """Write JSON, table and picture; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = directory / f"drill-{drill.name}"
    content = {
        "environment": environment,
        "backend": drill.backend,
        "delivery": drill.delivery,
        "size": asdict(drill.size),
        "is_met": drill.is_met,
        "rows": [as_json(row, drill.began) for row in drill.rows],
        "timeline": asdict(drill.bins),
    }
    files = [stem.with_suffix(".json"), stem.with_suffix(".md")]
    files[0].write_text(json.dumps(content, indent=1) + "\n")
    files[1].write_text(text(drill.rows))
    picture = stem.with_suffix(".png")
    picture.unlink(missing_ok=True)  # a picture of another run would not match these figures
    try:
        draw(drill.name, drill.rows, drill.began, drill.bins, picture)
    except Missing:
        return files
    return [*files, picture]


def _cells(row: Row) -> list[str]:
    away = ""
    if row.marks.fault is not None and row.marks.back is not None:
        away = f" (away {row.marks.back - row.marks.fault:.0f} s)" if row.marks.back - row.marks.fault >= 0.5 else ""
    live = "-" if row.marks.fault is None else "never" if row.live_again is None else seconds(row.live_again)
    return [
        row.title + away,
        f"{row.requests:,}",
        str(row.failed),
        str(row.failed_own),
        str(row.dropped),
        str(row.dropped_own),
        seconds(row.without_service),
        live,
        "-" if row.slowest_route is None else seconds(row.slowest_route),
        f"{row.changes_failed} of {row.changes}",
        str(row.lost),
        str(row.wrong),
        "missed" if row.missed else "met",
    ]


def as_json(row: Row, began: float) -> dict[str, Any]:
    """`row` with its times as seconds since the drill began."""
    content = asdict(row)
    for place, names in ((content, ("began", "ended")), (content["marks"], ("fault", "back", "killed"))):
        for name in names:
            if place[name] is not None:
                place[name] = round(place[name] - began, 3)
    return content
