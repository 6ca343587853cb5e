"""The page of tested versions has what ``make matrix`` tests, and no others."""

from __future__ import annotations

import re

from matrix.cells import CELLS
from matrix.page import BEGIN, END, PAGE, table

ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if "|" in line]
README = (PAGE.parents[2] / "README.md").read_text()


def test_its_rows_are_the_cells():
    head, rule, *rows = ROWS
    assert [head, rule] == [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table([], {}).splitlines()
    ]
    sources = {cell.title: cell.source.title if cell.source else "PyPI" for cell in CELLS}
    assert {row[0]: row[2] for row in rows} == sources
    assert [row[0] for row in rows] == [cell.title for cell in CELLS]


def test_a_row_has_a_version_of_the_line_that_it_is_about():
    for title, version, _, tests, date, _ in ROWS[2:]:
        if "passed" not in tests:
            assert tests.startswith("not ")
            continue
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)
        for line in re.findall(r"\d+(?:\.\d+)?", title):
            assert re.search(rf"(?<![\d.]){re.escape(line)}\.", version), (title, version)


def test_nothing_that_failed_is_shown_as_tested():
    assert "failed" not in PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


def test_the_readme_leads_to_it():
    assert "docs/reference/tested-with.md" in README
