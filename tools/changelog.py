"""CHANGELOG.md by release: ``python -m tools.changelog 1.2.3`` prints what the release 1.2.3 changes.

Without a version it prints what has changed since the last release.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
UNRELEASED = "Unreleased"
#: In the order in which they stand (Keep a Changelog).
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_TITLE = re.compile(r"^## \[(?P<name>[^]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d))?$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """The changes of one release; `date` is empty for those that have no release yet."""

    name: str
    date: str
    text: str

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(re.findall(r"^### (.+)$", self.text, re.MULTILINE))


def sections(text: str) -> list[Section]:
    """All of them, the newest first, as the file has them."""
    titles = list(_TITLE.finditer(text))
    ends = [title.start() for title in titles[1:]] + [len(text)]
    return [
        Section(title["name"], title["date"] or "", text[title.end() : end].strip())
        for title, end in zip(titles, ends, strict=True)
    ]


def section(text: str, name: str) -> Section:
    """That of the release `name`. LookupError says what is missing."""
    for found in sections(text):
        if found.name == name:
            if not found.text:
                raise LookupError(f"CHANGELOG.md says nothing below [{name}].")
            if not found.date and name != UNRELEASED:
                raise LookupError(f"CHANGELOG.md has no date for [{name}]: ## [{name}] - 2026-01-31")
            return found
    raise LookupError(f"CHANGELOG.md has no section [{name}]; rename [{UNRELEASED}], and begin a new one.")


def main() -> None:
    try:
        print(section(CHANGELOG.read_text(encoding="utf-8"), *sys.argv[1:2] or [UNRELEASED]).text)
    except LookupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
