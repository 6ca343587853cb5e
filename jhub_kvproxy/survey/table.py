"""The routing table as it stands in the store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..aio import in_thread
from ..routing.described import LAST_ACTIVITY
from ..routing.hub_options import HUB_OPTIONS, HubOptions
from ..routing.records import RECORDS, read_routes, revision_in
from ..routing.revision import Revision
from ..routing.routes import Route
from ..store.contract import Backend, SupportsTraefik


@dataclass(frozen=True, slots=True)
class StoredRoute:
    """One route as it stands in the store. `last_activity` is ISO 8601 in UTC; None: not known."""

    routespec: str
    target: str
    data: Mapping[str, Any]
    last_activity: str | None = None
    route: Route = field(repr=False, compare=False, kw_only=True)

    def used(self, last_activity: str | None) -> StoredRoute:
        return replace(self, last_activity=last_activity)

    def to_json(self) -> dict[str, Any]:
        return {
            "routespec": self.routespec,
            "target": self.target,
            "data": dict(self.data),
            "last_activity": self.last_activity,
        }


@dataclass(frozen=True, slots=True)
class Table:
    """What a store holds below the prefix of a hub."""

    #: By routespec, as JupyterHub wrote it.
    routes: Mapping[str, StoredRoute] = field(default_factory=dict)
    #: Empty: no hub has written a table.
    revision: str = ""
    #: What the hub tells its agents; None: nothing, as without agents.
    options: HubOptions | None = None
    #: What cannot be read, a sentence for each.
    damage: tuple[str, ...] = ()

    @property
    def term(self) -> int | None:
        """That of the hub that wrote it last."""
        return Revision.read(self.revision).term if self.revision else None


async def read_table(backend: Backend) -> Table:
    """The table in the store of `backend`, which is open. Raises :class:`~jhub_kvproxy.errors.BackendError`."""
    snapshot = await backend.load()
    return await in_thread(table_in, snapshot.keys)


def missing_directory(backend: Backend) -> Path | None:
    """The directory of a table in files, if no hub has made it yet; otherwise None."""
    if not isinstance(backend, SupportsTraefik) or backend.provider != "file":
        return None
    section = backend.traefik_provider_config().get("file", {})
    directory = Path(section["directory"]) if section.get("directory") else None
    with suppress(OSError):  # otherwise nobody knows
        return None if directory is None or directory.exists() else directory
    return None


def table_in(keys: Mapping[str, str]) -> Table:
    """The table that `keys` are. Pure."""
    routes, damaged = read_routes(keys, {}, {})
    damage = [f"The record {key!r} is damaged: {why.rstrip('.')}." for key, why in sorted(damaged.items())]
    options = None
    if record := keys.get(HUB_OPTIONS):
        try:
            options = HubOptions.from_record(record)
        except ValueError as error:
            damage.append(f"The key {HUB_OPTIONS!r} cannot be read: {str(error).rstrip('.')}.")
    revision = revision_in(keys)
    if not revision and any(key.startswith(RECORDS) for key in keys):
        damage.append("There are routes without a revision, so no agent serves them.")
    stored = (_stored(route) for route in routes.values())
    return Table({each.routespec: each for each in stored}, revision, options, tuple(damage))


def _stored(route: Route) -> StoredRoute:
    # As configurable-http-proxy has it, if JupyterHub gave it; the replicas know better.
    last = route.data.get(LAST_ACTIVITY)
    return StoredRoute(route.routespec, route.target, route.data, last if isinstance(last, str) else None, route=route)
