"""The pages of the documentation: their blocks, and what tests do with these."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser, SectionProxy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from traitlets.config import Config, PyFileConfigLoader

from servers.errors import Missing

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
HOW_TO = DOCS / "how-to"
PAGES = [*ROOT.glob("*.md"), *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]


@dataclass(frozen=True)
class Step:
    """A fenced block of a page, or a comment for the test (`language` is empty)."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def steps(page: Path) -> Iterator[Step]:
    text = page.read_text()
    for found in re.finditer(r"^<!-- test: (.*?) -->$|^```([a-z]+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        comment, language, block = found.groups()
        yield Step(page, text.count("\n", 0, found.start()) + 1, language or "", comment or block)


def blocks(language: str, first_line: str = "", pages: list[Path] = PAGES) -> list[Step]:
    return [
        step
        for page in sorted(pages)
        for step in steps(page)
        if step.language == language and step.text.startswith(first_line)
    ]


def texts(page: Path, language: str) -> list[str]:
    """What the blocks of `page` hold."""
    return [step.text for step in blocks(language, pages=[page])]


def each(found: list[Step]) -> pytest.MarkDecorator:
    assert found
    return pytest.mark.parametrize("block", found, ids=[step.place for step in found])


def need(module: str) -> None:
    if not find_spec(module):
        raise Missing(f"there is no {module} here")


def load(text: str, directory: Path) -> Config:
    file = directory / "jupyterhub_config.py"
    file.write_text(text)
    return PyFileConfigLoader(file.name, path=str(directory)).load_config()


def unit_of(text: str) -> SectionProxy:
    """The section [Service] of a systemd unit."""
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser["Service"]


def run(block: str, directory: Path, place: str) -> str:
    """Run the commands of a block as one script; what they print must be what the block shows."""
    lines = block.splitlines()
    script = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    shown = [line for line in lines if not line.startswith("$ ")]
    command = ["bash", "-euo", "pipefail", "-c", script]
    result = subprocess.run(command, cwd=directory, env=environment(), capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, f"{place}: {result.stderr}"
    printed = result.stdout + ("\n" if result.stdout and not result.stdout.endswith("\n") else "")
    expected = "".join(r"(?:.*\n)*?" if line == "..." else as_pattern(line) + r"\n" for line in shown)
    assert re.fullmatch(expected, printed), f"{place}: {printed}"
    return printed


def as_pattern(line: str) -> str:
    """A regular expression for a line of output, where ``...`` stands for anything."""
    return re.escape(line).replace(re.escape("..."), ".*")


def environment() -> dict[str, str]:
    """As after ``. venv/bin/activate``, for the environment that the test runs in."""
    return {**os.environ, "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])}
