"""The table of the results, and the page of the documentation that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from servers.programs import ROOT

from .cells import Cell
from .results import Result

PAGE = ROOT / "docs" / "reference" / "tested-with.md"
BEGIN, END = "<!-- made by make matrix MATRIX=--docs -->", "<!-- end of what is made -->"
#: Names of tests that failed; the log has all.
_SHOWN = 5
_HEAD = ("tested with", "version", "from", "tests", "date", "commit")


def table(cells: Sequence[Cell], results: Mapping[str, Result]) -> str:
    """A row for each of `cells`, in Markdown."""
    rows = [row(cell, results.get(cell.name)) for cell in cells]
    lines = [_HEAD, ["---"] * len(_HEAD), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def row(cell: Cell, result: Result | None) -> list[str]:
    origin = cell.source.title if cell.source else "PyPI"
    if result is None:
        return [cell.title, "", origin, "not run yet", "", ""]
    version = ", ".join(filter(None, [result.version, _python(cell, result)]))
    return [cell.title, version, origin, outcome(result), result.date, result.commit]


def _python(cell: Cell, result: Result) -> str:
    return f"Python {result.beside.get('Python', '')}" if cell.environment.python and result.beside else ""


def outcome(result: Result) -> str:
    """In a few words."""
    if result.reason:
        return f"not to be had: {result.reason}"
    skipped = f", {result.skipped} skipped" if result.skipped else ""
    if result.is_good:
        return f"{result.passed} passed{skipped}"
    names = ", ".join(f"`{name}`" for name in result.failed[:_SHOWN]) + ", ..." * (len(result.failed) > _SHOWN)
    return f"**{len(result.failed)} failed**, {result.passed} passed{skipped}: {names}"


def placed(page: str, made: str) -> str:
    """`page` with `made` between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def write(cells: Sequence[Cell], results: Mapping[str, Result], page: Path = PAGE) -> None:
    page.write_text(placed(page.read_text(), table(cells, results)))
