"""What was seen: a result for each cell, in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from servers.errors import Unavailable

from . import code
from .cells import Cell
from .store import home


@dataclass(frozen=True)
class Result:
    """Of one cell."""

    #: Empty unless the version was not to be had.
    reason: str = ""
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    #: Of what was tested, and of what was beside it.
    version: str = ""
    beside: dict[str, str] = field(default_factory=dict)
    date: str = ""
    #: The state of our code, and of the cell; see :mod:`.code`.
    code: str = ""
    commit: str = ""

    @property
    def is_good(self) -> bool:
        return not self.reason and not self.failed and self.passed > 0


def _file() -> Path:
    return home() / "results.json"


def read() -> dict[str, Result]:
    """All results, by the names of their cells. Raises Unavailable if they cannot be read."""
    try:
        return {name: Result(**values) for name, values in json.loads(_file().read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:  # of another version of this, say
        raise Unavailable(f"{_file()} cannot be read; remove it, and all is tested again") from error


def write(name: str, result: Result) -> None:
    """Keep `result` instead of what was seen of that cell before."""
    results = {name: asdict(other) for name, other in (read() | {name: result}).items()}
    new = _file().with_suffix(".new")
    new.parent.mkdir(parents=True, exist_ok=True)
    new.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    os.replace(new, _file())


def missing(cells: Sequence[Cell], results: dict[str, Result], state: str) -> list[Cell]:
    """Those that are still to be tested: all that did not pass as they are, with this state of our code."""
    seen = {name: result.code for name, result in results.items() if result.is_good}
    return [cell for cell in cells if seen.get(cell.name) != code.of(cell, state)]
