"""Format text for a terminal: tables, wrapped paragraphs, colours, times, JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

_WIDEST = 100
_COLOURS = {"red": 31, "green": 32, "yellow": 33}


def width() -> int:
    """Columns for text: those of the terminal (80 without one), but at most as many as are easy to read."""
    return min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)


def wrapped(text: str, indent: str = "", hanging: str | None = None) -> list[str]:
    """Wrap `text` into lines. The first starts with `indent`, the others with `hanging` (default: `indent`)."""
    lines = textwrap.wrap(
        text,
        width(),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*map(visible, lines)]


def visible(text: str) -> str:
    """`text` with an escape for each character that would steer the terminal, or change the order of others."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def paragraphs(text: str, indent: str = "") -> Iterator[str]:
    """Wrap each paragraph of `text`. Indented paragraphs and lists keep their lines."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        if paragraph.startswith((" ", "- ", "* ")) or "\n " in paragraph:
            yield from textwrap.indent(paragraph.strip("\n"), indent).splitlines()
        else:
            yield from wrapped(" ".join(paragraph.split()), indent)


def aligned(rows: Sequence[Sequence[str]], gap: str = "  ") -> Iterator[str]:
    """`rows` as lines with aligned columns."""
    rows = [[*map(visible, row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield gap.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()


def painted(text: str, colour: Literal["red", "green", "yellow"]) -> str:
    """`text` in this colour on a terminal, unless the environment has NO_COLOR; elsewhere as it is."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def ago(seconds: float) -> str:
    """A length of time in one unit, such as ``12 s``, ``3 min``, ``2 h`` or ``5 d``."""
    seconds = max(seconds, 0.0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def utc(seconds: float) -> str:
    """A time (:func:`time.time`) as people in any zone read it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def as_json(value: Any, *, is_one_line: bool = False) -> str:
    """`value` in ASCII, which every terminal can show, and no name in it steers."""
    return json.dumps(value, indent=None if is_one_line else 2, default=str).replace("\x7f", "\\u007f")


def limits_in_words(keys: int | None, size: int | None) -> str:
    """The limits of a transaction: `keys`, and `size` in bytes. Empty if there is none."""
    limits = [f"{keys} keys"] if keys is not None else []
    if size is not None:
        limits.append(f"{size // 1024} KiB")
    return ", ".join(limits)
