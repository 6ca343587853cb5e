"""The page on what protects what: each test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "security.md"
NAMED = sorted(set(re.findall(r"`((?:tests/\w+/)?test_\w+\.py(?:::test_\w+)?)`", PAGE.read_text())))


@pytest.mark.parametrize("name", NAMED)
def test_it_names_tests_that_there_are(name):
    file, _, function = name.partition("::")
    path = ROOT / (file if "/" in file else f"tests/integration/{file}")
    assert path.is_file()
    assert not function or re.search(rf"^(?:async )?def {function}\(", path.read_text(), re.MULTILINE)


def test_it_names_many():
    assert len(NAMED) > 20
