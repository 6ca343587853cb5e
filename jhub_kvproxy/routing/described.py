"""Routes as ``Proxy.get_all_routes`` tells of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .routes import Route, copy_json

#: In a route's data, as configurable-http-proxy has it. It is never stored.
LAST_ACTIVITY = "last_activity"
#: In the data of a route that was added by the REST API and is none of JupyterHub's. JupyterHub does not see it.
FOREIGN = "kvproxy_foreign"

#: When a route was used last (:func:`time.time`); None: not known.
LastUse = Callable[[Route], float | None]


def never(route: Route) -> None:
    """The :data:`LastUse` where nobody looks."""


def described(route: Route, last_use: LastUse) -> dict[str, Any]:
    data = copy_json(route.data)
    used_at = last_use(route)
    if used_at is not None:
        data[LAST_ACTIVITY] = iso(used_at)
    return {"routespec": route.routespec, "target": route.target, "data": data}


def described_by_routespec(routes: Mapping[str, Route], last_use: LastUse) -> dict[str, dict[str, Any]]:
    return {route.routespec: described(route, last_use) for route in routes.values()}


def iso(seconds: float) -> str:
    """ISO 8601 in UTC, as JavaScript writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def without_last_activity(data: Any) -> Any:
    """`data`, which may come from :func:`described`, as it is to be stored."""
    return {key: data[key] for key in data if key != LAST_ACTIVITY} if isinstance(data, dict) else data
