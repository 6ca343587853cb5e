"""What those who work on the project are told is there: paths, tests, targets. Somebody looks after each file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.shell import run

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
OWNERS = (ROOT / "OWNERS.md").read_text()


def test_each_test_that_a_table_names_is_there():
    rows = re.findall(r"`(tests/[a-z_/]+\.py)`((?:[:,] `test_\w+`)*)", CONTRIBUTING)
    assert len(rows) > 8
    for file, named in rows:
        text = (ROOT / file).read_text()
        for name in re.findall(r"test_\w+", named):
            assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{file}: {name}"


def test_each_place_in_the_code_that_it_names_is_there():
    tour = CONTRIBUTING.partition("## The tour")[2].partition("\n## ")[0]
    for name in re.findall(r"`((?:hub|store|push|traefik|routing)/[\w/]+\.(?:py|go))`", tour):
        assert (ROOT / "jhub_kvproxy" / name).exists(), name
    for name in re.findall(r"tests/\w+/test_\w+\.py", tour):
        assert (ROOT / name).exists(), name


def test_the_table_of_places_has_each_wing_and_each_file_beside_them():
    package = ROOT / "jhub_kvproxy"
    table = CONTRIBUTING.partition("## Where things are")[2].partition("\n## ")[0]
    rows, _, others = table.partition("| `jhub_kvproxy/*.py` |")
    wings = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `([a-z_]+)/` \|", rows, re.MULTILINE)) == wings
    files = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py", "_version.py"}
    assert set(re.findall(r"`([a-z_]+\.py)`", others.partition("\n")[0])) == files


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/how-to/release.md", "docs/explanation/supply-chain.md"])
def test_each_target_that_a_page_names_is_there(page):
    targets = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", (ROOT / page).read_text()))
    assert named
    assert named <= targets


def test_somebody_looks_after_each_path():
    cells = [line.split("|")[2] for line in OWNERS.splitlines() if line.startswith("| ")][1:]
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert len(named) == len(set(named))
    tracked = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\n")
    # The links to a virtual environment that somebody has in the place of the directory are theirs.
    top = {name.partition("/")[0] for name in tracked if name and not (ROOT / name).is_symlink()}
    assert top == set(named)
