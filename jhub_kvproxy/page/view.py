"""What viewers see at one moment, and the events that bring it to them. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..survey.facts import facts_of
from ..survey.naming import owner_of
from ..survey.site import Site
from .history import History

#: How many sentences about what is wrong are shown.
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One route. `answers` is None if its target has not been tried, and otherwise why it does not answer, or empty."""

    target: str
    owner: str
    last_activity: str | None
    answers: str | None

    def to_json(self) -> dict[str, Any]:
        return {"target": self.target, "owner": self.owner, "last": self.last_activity, "answers": self.answers}


@dataclass(frozen=True, slots=True)
class View:
    """All that viewers see. Each has a `number` of its own."""

    number: int
    #: When it was so, and since when the page has looked (:func:`time.time`).
    at: float
    since: float
    facts: Mapping[str, Any]
    #: By routespec. While the store cannot be read, those seen before.
    rows: Mapping[str, Row] = field(default_factory=dict)
    history: History = field(default_factory=History)

    def site(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "since": self.since,
            **self.facts,
            "changes": [change.to_json() for change in self.history.changes],
            "faults": [fault.to_json() for fault in self.history.faults],
        }


def shown(site: Site, hide: Callable[[Any], Any]) -> dict[str, Any]:
    """The facts of `site` with no secret in them, by `hide`, and with no more of them than anybody reads."""
    facts = facts_of(site)
    for replica in facts["replicas"]:
        del replica["refused"]  # it may be all routes; the errors name some
    problems = facts["problems"]
    if len(problems) > _SHOWN:
        facts["problems"] = [*problems[:_SHOWN], f"And {len(problems) - _SHOWN} more problems."]
    hidden: dict[str, Any] = hide(facts)
    return hidden


def rows_of(site: Site, answers: Mapping[str, str], hide: Callable[[str], str]) -> dict[str, Row]:
    """The routes of `site`; `answers` has what the targets that were tried said."""
    return {
        routespec: Row(hide(route.target), owner_of(route.data), route.last_activity, answers.get(route.target))
        for routespec, route in site.store.table.routes.items()
    }


def events(sent: View | None, view: View) -> bytes:
    """What tells a viewer who has seen `sent`, or nothing, of `view`: server-sent events."""
    told = _event("site", view.site())
    if sent is None:
        everything = {name: row.to_json() for name, row in view.rows.items()}
        return told + _event("routes", {"all": True, "put": everything, "drop": []})
    put = {name: row.to_json() for name, row in view.rows.items() if sent.rows.get(name) != row}
    drop = [name for name in sent.rows if name not in view.rows]
    if put or drop:
        told += _event("routes", {"all": False, "put": put, "drop": drop})
    return told


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    # JSON has no line break of its own, which would end the event.
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
