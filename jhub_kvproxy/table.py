"""The routing table: routes in, exact key changes out. Pure, no I/O.

Which keys a table has is a function of its routes alone, so every hub computes the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .errors import RouteRejected
from .routes import Route, target_has_path

RECORDS = "routes/"
TRAEFIK = "traefik/"

#: A middleware that no router uses; its value tells which commit a replica serves. It also keeps the
#: table from ever being empty, which Traefik would skip (``configurationwatcher.go``, isEmptyConfiguration).
REVISION_NAME = "kvproxy-revision"
REVISION_HEADER = "X-Kvproxy-Revision"
REVISION_KEY = f"{TRAEFIK}http/middlewares/{REVISION_NAME}/headers/customResponseHeaders/{REVISION_HEADER}"

Changes = dict[str, str | None]


class RoutingTable:
    """The routes that the store is known to hold, by name, and the keys that they have there."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self.routes: dict[str, Route] = {route.name: route for route in routes}
        self.keys: dict[str, str] = {}
        for route in self.routes.values():
            self.keys.update(route_keys(route))

    def changes(self, wanted: Mapping[str, Route | None]) -> Changes:
        """What to change in the store so that each name in `wanted` has that route, or none."""
        changes: Changes = {}
        for name, route in wanted.items():
            old = self.routes.get(name)
            new_keys = route_keys(route) if route else {}
            changes.update((key, None) for key in (route_keys(old) if old else ()) if key not in new_keys)
            changes.update((key, value) for key, value in new_keys.items() if self.keys.get(key) != value)
        return changes

    def update(self, wanted: Mapping[str, Route | None], changes: Changes) -> None:
        """Take note that `changes`, those for `wanted`, are in the store."""
        for key, value in changes.items():
            if value is None:
                self.keys.pop(key, None)
            else:
                self.keys[key] = value
        for name, route in wanted.items():
            if route is None:
                self.routes.pop(name, None)
            else:
                self.routes[name] = route

    def drift(self, keys: Mapping[str, str]) -> Changes:
        """What to change in a store that holds `keys` so that it holds this table and nothing more."""
        ours = {k: v for k, v in keys.items() if k.startswith((RECORDS, TRAEFIK)) and k != REVISION_KEY}
        if ours == self.keys:
            return {}
        changes: Changes = {key: None for key in ours if key not in self.keys}
        changes.update((key, value) for key, value in self.keys.items() if ours.get(key) != value)
        return changes


def route_keys(route: Route) -> dict[str, str]:
    """All keys of `route`: its record, and its router and service in the layout of Traefik's KV providers."""
    name, pattern = route.name, route.pattern
    router = f"{TRAEFIK}http/routers/{name}"
    server = f"{TRAEFIK}http/services/{name}/loadBalancer/servers/0"
    keys = {
        RECORDS + name: route.to_record(),
        f"{router}/rule": pattern.rule,
        f"{router}/service": name,
        f"{router}/priority": str(pattern.priority),
        f"{server}/url": route.target,
    }
    if target_has_path(route.target):
        keys[f"{server}/preservePath"] = "true"
    return keys


def by_route(changes: Changes) -> dict[str, Changes]:
    """`changes` by the name of the route that each belongs to."""
    routes: dict[str, Changes] = {}
    for key, value in changes.items():
        name = key.removeprefix(RECORDS) if key.startswith(RECORDS) else "".join(key.split("/")[3:4])
        routes.setdefault(name, {})[key] = value
    return routes


def batches(changes: Changes, max_ops: int | None, max_bytes: int | None) -> Iterator[Changes]:
    """`changes` in parts of at most `max_ops` keys and `max_bytes` (None: no limit), cut between routes.

    A route is never cut, whatever its size.
    """
    part: Changes = {}
    size = 0
    for keys in by_route(changes).values():
        added = sum(len(key.encode()) + len((value or "").encode()) for key, value in keys.items())
        too_many = max_ops is not None and len(part) + len(keys) > max_ops
        if part and (too_many or (max_bytes is not None and size + added > max_bytes)):
            yield part
            part, size = {}, 0
        part |= keys
        size += added
    yield part


def halves(changes: Changes) -> list[Changes]:
    """`changes` cut in two between routes; those of one route stay whole."""
    routes = list(by_route(changes).values())
    cut = len(routes) // 2
    return [{k: v for keys in half for k, v in keys.items()} for half in (routes[:cut], routes[cut:]) if half]


def read_records(keys: Mapping[str, str], known: RoutingTable) -> tuple[RoutingTable, dict[str, str]]:
    """The table whose records stand in `keys`, and what is wrong with each record that is none, by key.

    A route that `known` has just so stays the same object.
    """
    routes, damaged = [], {}
    for key, record in keys.items():
        if not key.startswith(RECORDS):
            continue
        if known.keys.get(key) == record:
            routes.append(known.routes[key.removeprefix(RECORDS)])
            continue
        try:
            routes.append(Route.from_record(record))
        except RouteRejected as error:
            damaged[key] = str(error)
    return RoutingTable(routes), damaged
