"""What the plugin is told: each route as one line of a table, a whole table or its changes. Pure, no I/O.

The plugin's side of it is ``traefik/plugin/message.go``; ``paths.go`` there brings the path of a request into the form
of :func:`key_of`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ..routing.policy import Policy, Selection, includes
from ..routing.routes import Pattern, Route, target_has_path

#: Changes with the layout of messages, so that a plugin that was told in another layout is told all again.
_LAYOUT = 1
#: A slash, a question mark, ... that stands in a segment, and the percent sign, stay encoded.
_ENCODED = {ord(char): f"%{ord(char):02X}" for char in "%/?#"}


def key_of(pattern: Pattern) -> str:
    """The place of a route in the plugin's table: host and path, with most characters decoded."""
    return (pattern.host or "") + "".join(f"/{segment.translate(_ENCODED)}" for segment in pattern.segments)


def pattern_of(key: str) -> Pattern:
    """The inverse of :func:`key_of`."""
    host, *segments = key.split("/")
    return Pattern(host or None, tuple(map(unquote, segments)))


def line_of(route: Route, policy: Policy) -> dict[str, Any]:
    """What the plugin needs to know of `route`."""
    line: dict[str, Any] = {"t": route.target, "k": kind_of(route)}
    if route.pattern.segments and includes(policy.strip_prefix, route):
        line["s"] = len(route.pattern.segments)
    if includes(policy.change_origin, route):
        line["o"] = True
    if target_has_path(route.target) and not includes(policy.prepend_path, route):
        line["b"] = True
    return line


def kind_of(route: Route) -> str:
    """Whose server it is, by JupyterHub's marks (``jupyterhub.proxy``: add_hub_route, add_user, add_service)."""
    if route.data.get("hub") is True:
        return "hub"
    if "user" in route.data:
        return "user"
    return "service" if "service" in route.data else "other"


#: The form of a table that an agent has made, of routes of several hubs perhaps. Its revisions are the agent's own.
AGENT_FORM = f"agent-{_LAYOUT}"


def form_of(policy: Policy) -> str:
    """Tells tables apart that the same routes become by other options."""
    options = [_LAYOUT, *map(_named, (policy.change_origin, policy.strip_prefix, policy.prepend_path))]
    return hashlib.sha256(json.dumps(options).encode()).hexdigest()[:8]


def _named(selection: Selection) -> bool | list[str]:
    return selection if isinstance(selection, bool) else sorted(map(key_of, selection))


@dataclass(frozen=True, slots=True)
class Served:
    """What a plugin says it serves: a revision (empty: no table yet), and the form of the table."""

    revision: str = ""
    form: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """Brings a plugin to `goal`: by changes if `since` says what it serves now, otherwise by the whole table."""

    goal: Served
    since: Served | None
    put: Sequence[Route]
    #: Keys.
    delete: Sequence[str] = ()

    @property
    def method(self) -> str:
        return "PATCH" if self.since else "PUT"

    def body(self, policy_of: Callable[[Route], Policy]) -> bytes:
        """The message as JSON; `policy_of` says what a route's hub makes of it.

        It takes 10 µs a route, so have a large one made in a thread.
        """
        head: dict[str, Any] = {"revision": self.goal.revision, "form": self.goal.form}
        if self.since:
            head |= {"from": self.since.revision, "delete": self.delete}
        # One by one: a call of json.dumps keeps all threads waiting.
        lines = (f"{_json(key_of(route.pattern))}:{_json(line_of(route, policy_of(route)))}" for route in self.put)
        return f'{_json(head)[:-1]},"put":{{{",".join(lines)}}}}}'.encode()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
