"""How what others have differs from the table in the store. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import RouteRejected
from ..routing.described import FOREIGN
from ..routing.routes import Pattern
from .table import StoredRoute, Table

Kind = Literal["missing", "extra", "target"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A route that the store and another place do not have alike."""

    routespec: str
    #: ``jupyterhub``, or the name of a replica.
    where: str
    #: ``missing``: only the store has it; ``extra``: only the other place has it; ``target``: both, to other targets.
    kind: Kind
    #: The targets; None: there is none, or it is not known.
    in_store: str | None
    there: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def with_replica(table: Table, name: str, targets: Mapping[str, str]) -> list[Difference]:
    """How the `targets` that a replica serves, by routespec, differ from `table`."""
    stored = {routespec: route.target for routespec, route in table.routes.items()}
    return list(_compared(name, stored, targets))


def with_jupyterhub(table: Table, servers: Mapping[str, str | None]) -> list[Difference]:
    """How the servers that JupyterHub has, by their paths, differ from `table`. A target may be not known.

    Hosts do not count. Routes of the hub itself and of tools are in no database.
    """
    spelled = {_path(route.routespec): route for route in table.routes.values()}
    stored = {path: route.target for path, route in spelled.items() if path in servers or _is_of_a_server(route)}
    found = _compared("jupyterhub", stored, {_path(path): target for path, target in servers.items()})
    return [
        Difference(
            spelled[each.routespec].routespec if each.routespec in spelled else each.routespec,
            each.where,
            each.kind,
            each.in_store,
            each.there,
        )
        for each in found
    ]


def _compared(where: str, stored: Mapping[str, str], there: Mapping[str, str | None]) -> Iterator[Difference]:
    for routespec in sorted(stored.keys() | there.keys()):
        ours, theirs = stored.get(routespec), there.get(routespec)
        if routespec not in there:
            yield Difference(routespec, where, "missing", ours, None)
        elif routespec not in stored:
            yield Difference(routespec, where, "extra", None, theirs)
        elif theirs is not None and ours is not None and ours.rstrip("/") != theirs.rstrip("/"):
            yield Difference(routespec, where, "target", ours, theirs)


def _path(routespec: str) -> str:
    """The canonical path of a routespec, without its host."""
    try:
        return Pattern(None, Pattern.parse(routespec).segments).routespec
    except RouteRejected:
        return routespec


def _is_of_a_server(route: StoredRoute) -> bool:
    return not route.data.get(FOREIGN) and ("user" in route.data or "service" in route.data)


def advice(difference: Difference) -> str:
    """What to do about it."""
    if difference.where == "jupyterhub":
        return {
            "missing": "JupyterHub knows no such server. A hub that runs deletes the route at its next check.",
            "extra": "The store lacks the route of a server that runs. A hub that runs adds it at its next check.",
            "target": "The server has moved. A hub that runs corrects the route at its next check.",
        }[difference.kind]
    return {
        "missing": "The replica lags: jhub-kvproxy status says why.",
        "extra": "The store has lost the route, or the replica has not heard that it was deleted: "
        "jhub-kvproxy status says whether it lags.",
        "target": "The replica lags: jhub-kvproxy status says why.",
    }[difference.kind]
