"""Text for a terminal: tables, wrapped paragraphs, JSON. Pure functions."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

_WIDEST = 100


def width() -> int:
    """Columns to fill: those of the terminal, 80 without one, and no more than a person reads with ease."""
    return min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)


def wrapped(text: str, indent: str = "", hanging: str | None = None) -> list[str]:
    """`text` as lines that fit, after `indent`; those after the first after `hanging`."""
    return textwrap.wrap(
        text,
        width(),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def paragraphs(text: str, indent: str = "") -> Iterator[str]:
    """The lines of `text`, wrapped anew; an indented paragraph or a list stays as it is."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        if paragraph.startswith((" ", "- ", "* ")) or "\n " in paragraph:
            yield from textwrap.indent(paragraph.strip("\n"), indent).splitlines()
        else:
            yield from wrapped(" ".join(paragraph.split()), indent)


def aligned(rows: Sequence[Sequence[str]], gap: str = "  ") -> Iterator[str]:
    """`rows` as lines whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield gap.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def limits_in_words(keys: int | None, size: int | None) -> str:
    """How much a transaction takes, `size` in bytes; empty: as much as one likes."""
    limits = [f"{keys} keys"] if keys is not None else []
    if size is not None:
        limits.append(f"{size // 1024} KiB")
    return ", ".join(limits)
