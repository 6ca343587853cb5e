"""What the agent beside a Traefik tells a hub over HTTP. Pure, no I/O.

All requests but those for :data:`LIVE`, :data:`READY`, :data:`SERVING` and :data:`METRICS` need the header of
:func:`credential`.

``GET /revision?hub=PREFIX``
    The :class:`State` of this hub's table at once; 404 if the agent does not follow that hub.
``GET /revision?hub=PREFIX&seen=TAG``
    The same, but the answer waits until the state's tag is another than `TAG`, :data:`LONGEST_WAIT` seconds at most.
``GET /activity?hub=PREFIX``
    ``{"ages": {KEY: SECONDS}}``: how long ago each route of this hub was used, by the plugin's keys
    (:func:`~jhub_kvproxy.push.wire.key_of`).
``GET /routes?hub=PREFIX``, ``GET /routes?hub=PREFIX&path=PATH&host=HOST``
    The routes of this hub that Traefik serves, or the one that a request gets, with the hub's revision
    (:class:`~jhub_kvproxy.push.plugin.Listing`).
``POST /activity``
    The body is a list of targets, the answer the seconds since each was used, by the kernel of the agent's machine.
    Agents beside a Traefik that reads the store by itself have it, and no others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

REVISION, ACTIVITY, ROUTES = "/revision", "/activity", "/routes"
METRICS, STATUS = "/metrics", "/status"
#: Whether the agent runs, whether load balancers should send users here, and whether users would be served.
LIVE, READY, SERVING = "/livez", "/readyz", "/servingz"

#: Seconds that an answer waits for news.
LONGEST_WAIT = 20.0


@dataclass(frozen=True, slots=True)
class State:
    """What the Traefik beside an agent serves of one hub's table."""

    #: Changes whenever what is served does, or the trouble. Two agents, and two lives of one, have no tag in common.
    tag: str
    #: The revision of the hub's table that Traefik serves, and the form that the hub's options gave it; empty: none.
    revision: str = ""
    form: str = ""
    #: Why Traefik cannot serve the table now, as a sentence; empty: it does.
    trouble: str = ""
    #: Routes of this hub that the Traefik does not serve, and why, by routespec.
    refused: Mapping[str, str] = field(default_factory=dict)
    #: How many routes of this hub it serves, and the requests to them since Traefik was started, by kind of route.
    routes: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)
    #: Traefik's version; empty: not known.
    traefik: str = ""
    #: Seconds for which Traefik has served what it serves; None: not known.
    age: float | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes) -> State:
        """Raises ValueError for what is no answer of an agent."""
        try:
            found: dict[str, Any] = json.loads(text)
            age = found.get("age")
            return cls(
                tag=str(found["tag"]),
                revision=str(found["revision"]),
                form=str(found["form"]),
                trouble=str(found["trouble"]),
                refused={str(routespec): str(why) for routespec, why in found["refused"].items()},
                routes=int(found["routes"]),
                requests={str(kind): int(count) for kind, count in found["requests"].items()},
                traefik=str(found["traefik"]),
                age=None if age is None else float(age),
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ValueError(f"this is no answer of an agent ({error!r})") from error


def credential(token: str) -> dict[str, str]:
    """The header that proves that who asks knows the token."""
    return {"Authorization": f"token {token}"}
