"""Readable figures, and Markdown tables with aligned columns, which a terminal can show too."""

from __future__ import annotations

from collections.abc import Sequence

#: Between a figure and its unit, so that no line breaks there.
NBSP = "\N{NO-BREAK SPACE}"


def joined(*parts: str) -> str:
    """`parts` with an empty line between them, without empty ones."""
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = (
        "|"
        + "|".join("-" * (width + 2) if index == 0 else "-" * (width + 1) + ":" for index, width in enumerate(widths))
        + "|"
    )
    return "\n".join([line(head), rule, *map(line, rows)])


def seconds(value: float) -> str:
    if value >= 1:
        return f"{value:,.0f}{NBSP}s" if value >= 100 else f"{value:.3g}{NBSP}s"
    return f"{value * 1000:.3g}{NBSP}ms" if value >= 0.001 or value == 0 else f"{value * 1e6:.3g}{NBSP}µs"


def rate(value: float) -> str:
    return f"{value:,.0f}"


def memory(value: float) -> str:
    return f"{value / 1e6:,.0f}{NBSP}MB" if value >= 1e6 else f"{value / 1e3:,.1f}{NBSP}kB"


def cores(value: float) -> str:
    return f"{value:.3f}"


def shown(unit: str, value: float) -> str:
    """`value` in `unit`, as :mod:`.results` has them."""
    return {"s": seconds, "1/s": rate, "bytes": memory, "cores": cores}[unit](value)


def ratio(value: float) -> str:
    """A ratio: `1/20` if it is far below 1."""
    return f"1/{1 / value:.3g}" if 0 < value <= 0.34 else f"{value:.3g}"
