"""What this project has left in a store below a prefix, and its removal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..aio import to_the_end
from ..errors import KVProxyError, RouteRejected
from ..routing.records import CHECK, RECORDS, is_ours, revision_in
from ..routing.routes import Route
from ..store.batches import Limits, cut_anywhere
from ..store.contract import Backend, Batch
from ..store.lease import Lease
from .writing import only_writer

#: A purge asks for the lease for so many seconds, and is soon done.
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Remains:
    """The keys below a prefix: ours, and those of others, which nobody removes."""

    ours: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    #: Empty: there is no table.
    revision: str = ""

    @property
    def routes(self) -> int:
        return sum(key.startswith(RECORDS) for key in self.ours)

    def to_json(self) -> dict[str, Any]:
        return {"routes": self.routes, "keys": len(self.ours), "foreign": sorted(self.foreign)}


def remains_in(keys: Mapping[str, str]) -> Remains:
    """Whose `keys` are. Without a table of ours, only what is surely ours is. Pure."""
    revision = revision_in(keys)
    ours = frozenset(
        key
        for key, value in keys.items()
        if key.startswith(CHECK) or (is_ours(key) if revision else _is_our_record(key, value))
    )
    return Remains(ours, frozenset(keys) - ours, revision)


def _is_our_record(key: str, value: str) -> bool:
    try:
        return key == RECORDS + Route.from_record(value).name
    except RouteRejected:
        return False


async def purge(backend: Backend, lease_seconds: float, shown: Remains, *, log: Any) -> Remains:
    """Remove what is ours, and all that the driver made if nobody else has anything there. Returns what was removed.

    `backend` is opened and closed here. 0 `lease_seconds`: there is no lease. Also if the caller is cancelled, it is
    done to the end. Raises :class:`~jhub_kvproxy.errors.KVProxyError`, as when a hub has the lease, or when what is
    there is not what was `shown`.
    """
    seconds = lease_seconds and max(lease_seconds, _SECONDS)
    async with only_writer(backend, seconds, "jhub-kvproxy purge", log) as lease:
        return await to_the_end(asyncio.ensure_future(_purge(backend, lease, shown)))


async def _purge(backend: Backend, lease: Lease, shown: Remains) -> Remains:
    found = remains_in((await backend.load()).keys)
    if found != shown:
        raise KVProxyError("What is there is not what was shown any more, so nothing was changed. Look again.")
    if not found.foreign:
        await backend.remove()
        return found
    for part in cut_anywhere(dict.fromkeys(found.ours), Limits(backend.max_txn_ops, backend.max_txn_bytes)):
        await lease.hold()
        await backend.apply(Batch(part))
    return found
