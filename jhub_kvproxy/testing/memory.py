"""A store in the memory of this process."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from traitlets import Unicode

from ..errors import BackendUnavailable, LeaseHeld, LeaseLost
from ..store.contract import Backend, Batch, LeaseReport, Snapshot, Told


@dataclass(slots=True)
class _Lease:
    token: str
    holder: str
    since: datetime
    ttl: float
    expiry: float


class _Watch:
    """What one watch has not told yet."""

    def __init__(self) -> None:
        self._changes: dict[str, str | None] | None = {}
        self._is_closed = False
        self._news = asyncio.Event()

    def tell(self, changes: Mapping[str, str | None]) -> None:
        if self._changes is not None:
            self._changes |= changes
        self._news.set()

    def set(self) -> None:
        """Something has changed."""
        self._changes = None
        self._news.set()

    def close(self) -> None:
        self._is_closed = True
        self._news.set()

    async def told(self) -> Told | None:
        """Wait for changes; what has changed since the last call."""
        await self._news.wait()
        if self._is_closed:
            raise BackendUnavailable("This store in memory was closed.")
        self._news.clear()
        changes, self._changes = self._changes, {}
        return changes


@dataclass(slots=True)
class _Table:
    keys: dict[str, str] = field(default_factory=dict)
    watchers: set[_Watch] = field(default_factory=set)
    lease: _Lease | None = None


class MemoryBackend(Backend):
    """Keeps the table in the memory of this process: for tests of code that uses a backend.

    It has all optional powers but that Traefik reads the table by itself: ``KVProxy.delivery`` must be "push".
    """

    contract = 2

    #: The tables, by the store's name and the prefix.
    tables: ClassVar[dict[tuple[str, str], _Table]] = {}

    name = Unicode("", config=True, help="Name of the store: objects with the same name and prefix share a table.")

    _token: str | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._watches: set[_Watch] = set()

    @property
    def _table(self) -> _Table:
        return self.tables.setdefault((self.name, self.prefix), _Table())

    async def close(self) -> None:
        for watch in self._watches:
            watch.close()
        await self.release_lease()

    async def apply(self, batch: Batch) -> None:
        self.check_writable()
        await asyncio.sleep(0)  # let other tasks run, as with every store
        table = self._table
        if self._token and not self._is_ours(table.lease):
            raise LeaseLost(f"This writer no longer has the lease of {self.prefix!r} in memory; acquire it again.")
        changes = {key: value for key, value in batch.changes.items() if table.keys.get(key) != value}
        for key, value in changes.items():
            if value is None:
                table.keys.pop(key, None)
            else:
                table.keys[key] = value
        if changes:
            for watch in table.watchers:
                watch.tell(changes)

    async def load(self) -> Snapshot:
        await asyncio.sleep(0)
        return Snapshot(dict(self._table.keys))

    async def watch(self) -> AsyncGenerator[Told | None]:
        table, watch = self._table, _Watch()
        table.watchers.add(watch)
        self._watches.add(watch)
        try:
            yield None
            while True:
                yield await watch.told()
        finally:
            table.watchers.discard(watch)
            self._watches.discard(watch)

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        self.check_writable()
        self._token = self._token or secrets.token_hex(8)
        lease, now = self._table.lease, time.monotonic()
        since = datetime.now(UTC)
        if lease and lease.expiry > now:
            if lease.token != self._token:
                raise LeaseHeld(
                    f"{lease.holder} has held {self.prefix!r} in memory since {lease.since:%F %T} UTC.",
                    seconds=lease.ttl,
                )
            since = lease.since
        self._table.lease = _Lease(self._token, holder, since, ttl, now + ttl)

    async def release_lease(self) -> None:
        if self._table.lease and self._table.lease.token == self._token:
            self._table.lease = None
        self._token = None

    async def read_lease(self) -> LeaseReport | None:
        await asyncio.sleep(0)
        lease = self._table.lease
        if lease is None or lease.expiry <= time.monotonic():
            return None
        return LeaseReport(lease.holder, lease.since, lease.ttl)

    def _is_ours(self, lease: _Lease | None) -> bool:
        return lease is not None and lease.token == self._token and lease.expiry > time.monotonic()
