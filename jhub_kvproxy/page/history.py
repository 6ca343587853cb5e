"""What has changed and what was wrong since the page was started. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

#: How many of each are kept.
_KEPT = 50
#: More changes of one kind at once are one line.
_ONE_BY_ONE = 10
#: What differs between two sentences about the same fault.
_VARIES = re.compile(
    r"revision \S+|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|(?<![\w.:/'-])\d+(\.\d+)?(?![\w.:/'-])|\b(commit|route|router)s?\b"
)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the table. `what` is ``added``, ``removed`` or ``moved``."""

    at: float
    what: str
    route: str
    target: str

    def to_json(self) -> dict[str, Any]:
        return {"at": self.at, "what": self.what, "route": self.route, "target": self.target}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was wrong from the look at `since` to the one at `until`; None: it still is."""

    text: str
    since: float
    until: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "since": self.since, "until": self.until}


@dataclass(frozen=True, slots=True)
class History:
    """The last changes and faults, the newest first, and the targets by routespec; None: not known yet."""

    changes: tuple[Change, ...] = ()
    faults: tuple[Fault, ...] = ()
    targets: Mapping[str, str] | None = None

    def noted(self, at: float, targets: Mapping[str, str] | None, problems: Sequence[str]) -> History:
        """The history after a look; without `targets`, the store could not be read."""
        changes = self.changes
        if targets is not None and self.targets is not None:
            changes = (*_changes(at, self.targets, targets), *changes)[:_KEPT]
        known = self.targets if targets is None else targets
        return History(changes, _faults(at, self.faults, problems), known)


def _changes(at: float, before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    by_kind = {
        "added": [(route, after[route]) for route in after.keys() - before.keys()],
        "removed": [(route, before[route]) for route in before.keys() - after.keys()],
        "moved": [(route, after[route]) for route in after.keys() & before.keys() if before[route] != after[route]],
    }
    found = []
    for what, routes in by_kind.items():
        if len(routes) > _ONE_BY_ONE:
            found.append(Change(at, what, f"{len(routes)} routes", ""))
        else:
            found += [Change(at, what, route, target) for route, target in sorted(routes)]
    return found


def _faults(at: float, before: Sequence[Fault], problems: Sequence[str]) -> tuple[Fault, ...]:
    now = {_VARIES.sub("", text): text for text in reversed(problems)}
    faults = []
    for fault in before:
        text = now.pop(_VARIES.sub("", fault.text), None) if fault.until is None else None
        if text is not None:
            faults.append(replace(fault, text=text))
        else:
            faults.append(fault if fault.until is not None else replace(fault, until=at))
    new = [Fault(text, at) for text in reversed(now.values())]
    # Those that are over go first.
    faults = sorted([*new, *faults], key=lambda fault: (fault.until is not None, -(fault.until or fault.since)))
    return tuple(faults[:_KEPT])
