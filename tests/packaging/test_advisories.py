"""The table of advisories about proxies: each row names an advisory, what protects a hub, and a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "hostile-input.md"
SECTION = PAGE.read_text().partition("\n## Advisories\n")[2].partition("\n## ")[0]
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | "))
    for line in SECTION.splitlines()
    if line.startswith("| ") and not line.startswith("| advisory")
]
NUMBER = re.compile(r"CVE-\d{4}-\d{4,6}|GHSA(?:-[2-9cfghjmpqrvwx]{4}){3}")
NAMED = re.compile(r"`((?:tests/\w+/)?test_\w+\.py)::(test_\w+)`")


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_row_names_a_test_that_exists(row):
    _, was, protection, test = row
    assert was
    assert protection
    named = NAMED.fullmatch(test)
    assert named
    file, function = named.groups()
    path = ROOT / (file if "/" in file else f"tests/hostile/{file}")
    assert re.search(rf"^(?:async )?def {function}\(", path.read_text(), re.MULTILINE)


def test_each_row_has_a_number_that_can_be_looked_up():
    without = [row[0] for row in ROWS if not NUMBER.search(row[0])]
    assert without == ["the same, for answers"]


def test_no_advisory_has_two_rows_of_a_kind():
    pairs = [(number, row[3]) for row in ROWS for number in NUMBER.findall(row[0])]
    assert len(pairs) == len(set(pairs)) > 60


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/adr/0012-oldest-traefik.md"])
def test_advisories_that_other_pages_name_are_in_the_table(page):
    """Those that set the oldest Traefik, above all."""
    known = {number for row in ROWS for number in NUMBER.findall(row[0])}
    assert set(NUMBER.findall((ROOT / page).read_text())) <= known


def test_security_md_leads_to_the_table():
    assert "docs/explanation/hostile-input.md#advisories" in (ROOT / "SECURITY.md").read_text()
