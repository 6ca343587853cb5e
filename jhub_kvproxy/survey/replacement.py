"""What changes when a table takes the place of another. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..routing.routes import Route


@dataclass(frozen=True, slots=True)
class Replacement:
    """The routes that change, by name; None is one that goes."""

    changes: Mapping[str, Route | None]
    #: Those that there are before, by name.
    before: Mapping[str, Route]

    @classmethod
    def of(cls, before: Iterable[Route], after: Iterable[Route]) -> Replacement:
        old, new = ({route.name: route for route in routes} for routes in (before, after))
        changes: dict[str, Route | None] = {
            name: route for name, route in new.items() if name not in old or _differ(route, old[name])
        }
        changes |= dict.fromkeys(name for name in old if name not in new)
        return cls(changes, old)

    @property
    def undo(self) -> dict[str, Route | None]:
        """The changes that bring back what was before."""
        return {name: self.before.get(name) for name in self.changes}

    @property
    def added(self) -> list[str]:
        return sorted(route.routespec for name, route in self.changes.items() if route and name not in self.before)

    @property
    def changed(self) -> list[str]:
        return sorted(route.routespec for name, route in self.changes.items() if route and name in self.before)

    @property
    def removed(self) -> list[str]:
        return sorted(self.before[name].routespec for name, route in self.changes.items() if not route)

    def to_json(self) -> dict[str, Any]:
        return {"added": self.added, "changed": self.changed, "removed": self.removed}


def _differ(one: Route, other: Route) -> bool:
    # Python takes 1 for True, and JSON does not.
    return one.to_record() != other.to_record()
