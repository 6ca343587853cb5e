"""Events of visitors and changes. Pure. Times are of the monotonic clock, which all processes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: A hub's answer begins with this; users' servers answer with their port.
HUB = "hub"


class Event(NamedTuple):
    """A request, download or websocket that ended."""

    #: "request" and "download": of a user; "hub": of the hub itself; "websocket": an open one.
    kind: str
    started: float
    ended: float
    #: "ok"; "wrong": another user's server answered; "lost": the hub did, in the place of a user's server;
    #: "failed": an error, or no complete answer.
    outcome: str
    #: Our port; 0: there was no connection.
    port: int = 0
    detail: str = ""


def judged(expected: str, status: int, body: str) -> tuple[str, str]:
    """Outcome and detail of an answer that `expected` should give: a port, or a hub."""
    if status != 200:
        return "failed", f"status {status}"
    if body == expected or (expected == HUB and body.startswith(HUB)):
        return "ok", ""
    return ("lost" if body.startswith(HUB) else "wrong"), f"{body} answered, not {expected}"


@dataclass(slots=True)
class Change:
    """A route change that the hub was asked for."""

    #: "add", "retarget" or "delete".
    kind: str
    asked: float
    #: When the hub's call ended; None: not yet.
    returned: float | None = None
    #: When the right server first answered a request.
    live: float | None = None
    error: str = ""
