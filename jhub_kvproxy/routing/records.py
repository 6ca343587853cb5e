"""The routing table as the store keeps it: one record for each route, and the revision. Pure, no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Self, TypeVar

from ..errors import RouteRejected
from .changes import Changes, difference
from .hub_options import HUB_OPTIONS
from .routes import Route

_MODULUS = 1 << 128

AnyTable = TypeVar("AnyTable", bound="Table")

RECORDS = "routes/"
TRAEFIK = "traefik/"
#: What ``jhub-kvproxy check`` writes for a moment; hubs ignore it.
CHECK = "check/"
#: The key with the sum of the table's keys and values, where agents read it: they serve no table whose sum it is not.
#: Between two batches of a repair, or after others have changed the store, it is that of another table.
SUM = "sum"
#: The key of the table's revision, where Traefik does not read the store.
REVISION = "revision"
#: The same where Traefik reads it: a middleware that no router uses, whose value Traefik's API tells. It also keeps the
#: table from ever being empty, which Traefik would skip (``configurationwatcher.go``, isEmptyConfiguration).
REVISION_NAME = "kvproxy-revision"
REVISION_HEADER = "X-Kvproxy-Revision"
TRAEFIK_REVISION = f"{TRAEFIK}http/middlewares/{REVISION_NAME}/headers/customResponseHeaders/{REVISION_HEADER}"


def revision_in(keys: Mapping[str, str]) -> str:
    """The revision that stands in `keys`, whoever reads them; empty: none."""
    return keys.get(REVISION) or keys.get(TRAEFIK_REVISION, "")


class Table:
    """The routes that the store is known to hold, by name, and the keys that they have there.

    With `options`, a record of :class:`~jhub_kvproxy.routing.hub_options.HubOptions`, that is there too. It stays.
    """

    #: The key of its revision, which is not one of :attr:`keys`.
    revision_key: ClassVar[str] = REVISION
    #: About how many keys a new route adds.
    keys_per_route: ClassVar[int] = 1

    def __init__(self, routes: Iterable[Route] = (), options: str = "") -> None:
        self.options = options
        self.routes: dict[str, Route] = {route.name: route for route in routes}
        self.keys: dict[str, str] = {RECORDS + name: route.to_record() for name, route in self.routes.items()}
        if options:
            self.keys[HUB_OPTIONS] = options
        self._sum = sum_of(self.keys) if options else 0

    @property
    def seal(self) -> Changes:
        """What each commit writes beside the keys and the revision."""
        return {SUM: sum_text(self._sum)} if self.options else {}

    def with_routes(self, routes: Iterable[Route]) -> Self:
        """A table of the same kind that has `routes` and no others."""
        return type(self)(routes, self.options)

    def put(self, wanted: Mapping[str, Route | None]) -> Changes:
        """Give each name in `wanted` that route, or none; returns what that changes in the store."""
        changes: Changes = {}
        for name, route in wanted.items():
            if route:
                self.routes[name] = route
            else:
                self.routes.pop(name, None)
            changes[RECORDS + name] = route.to_record() if route else None
        return self._take(changes)

    def stages(self, changes: Changes, stored: Mapping[str, str]) -> Sequence[Sequence[Changes]]:
        """`changes` to a store that holds `stored`, in the order in which to make them if they are too many for one
        batch: what comes before what goes."""
        return (
            [{key: value} for key, value in changes.items() if value is not None],
            [{key: value} for key, value in changes.items() if value is None],
        )

    def drift(self, keys: Mapping[str, str]) -> Changes:
        """What to change in a store that holds `keys` so that it holds this table, and nothing more of ours."""
        written_anyway = {self.revision_key, *self.seal}
        stored = {key: value for key, value in keys.items() if is_ours(key) and key not in written_anyway}
        return difference(stored, self.keys)

    def _take(self, changes: Mapping[str, str | None]) -> Changes:
        """Record `changes`; returns the effective ones."""
        effective = {key: value for key, value in changes.items() if self.keys.get(key) != value}
        if self.options:
            self._sum = changed_sum(self._sum, self.keys, effective)
        for key, value in effective.items():
            if value is None:
                del self.keys[key]
            else:
                self.keys[key] = value
        return effective


def is_summed(key: str) -> bool:
    """Whether the sum of a table is about this key."""
    return key.startswith(RECORDS) or key == HUB_OPTIONS


def sum_of(keys: Mapping[str, str]) -> int:
    """The sum of a table's `keys` and values, in any order."""
    return sum(_summand(key, value) for key, value in keys.items() if is_summed(key)) % _MODULUS


def changed_sum(before: int, keys: Mapping[str, str], changes: Mapping[str, str | None]) -> int:
    """The sum after `changes` of `keys`, whose sum is `before`."""
    for key, value in changes.items():
        if is_summed(key):
            before -= _summand(key, keys[key]) if key in keys else 0
            before += 0 if value is None else _summand(key, value)
    return before % _MODULUS


def sum_text(number: int) -> str:
    """How a sum stands in the store."""
    return f"{number:032x}"


def _summand(key: str, value: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{key}\0{value}".encode(errors="surrogatepass"), digest_size=16).digest())


def is_ours(key: str) -> bool:
    """Whether a hub writes such keys, and removes those that it did not write."""
    return key.startswith((RECORDS, TRAEFIK)) or key in (REVISION, HUB_OPTIONS, SUM)


def read_records(keys: Mapping[str, str], known: AnyTable) -> tuple[AnyTable, dict[str, str]]:
    """The table whose records stand in `keys`, and what is wrong with each damaged record, by key.

    The table is of the kind of `known`. A route that `known` has just so stays the same object.
    """
    routes, damaged = read_routes(keys, known.keys, known.routes)
    return known.with_routes(routes.values()), damaged


def read_routes(
    keys: Mapping[str, str], known_keys: Mapping[str, str], known: Mapping[str, Route]
) -> tuple[dict[str, Route], dict[str, str]]:
    """The routes whose records stand in `keys`, by name, and what is wrong with each damaged record, by key.

    A route of those `known` whose record is in `known_keys` just so stays the same object.
    """
    routes, damaged = {}, {}
    for key, record in keys.items():
        if not key.startswith(RECORDS):
            continue
        name = key.removeprefix(RECORDS)
        if known_keys.get(key) == record and name in known:
            routes[name] = known[name]
            continue
        try:
            routes[name] = Route.from_record(record)
        except RouteRejected as error:
            damaged[key] = str(error)
    return routes, damaged
