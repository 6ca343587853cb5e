"""systemd takes the units that the pages show."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.pages import Step, blocks, each
from tests.units import complaints

DIRECTORY = "/etc/systemd/system/"
UNITS = [block for block in blocks("ini", f"# {DIRECTORY}") if block.text.splitlines()[0].endswith(".service")]


@each(UNITS)
def test_systemd_takes_it(block: Step, tmp_path: Path) -> None:
    unit = written(tmp_path, block.text)
    assert complaints(tmp_path, unit) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("KillMode=process", "KilMode=process"),
        ("KillMode=process", "KillMode=proces"),
        ("[Service]", "[Servce]"),
        ("Restart=always", "Restart=always\nType=oneshot"),
    ],
)
def test_systemd_refuses_a_mistake(right: str, wrong: str, tmp_path: Path) -> None:
    [text] = [block.text for block in UNITS if block.page.name == "systemd.md"]
    unit = written(tmp_path, text.replace(right, wrong, 1))
    assert complaints(tmp_path, unit)


def written(directory: Path, text: str) -> str:
    """Write the unit of a page with a program that is here, which systemd looks for; the unit's name."""
    unit = text.splitlines()[0].removeprefix(f"# {DIRECTORY}")
    (directory / unit).write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.MULTILINE))
    return unit
