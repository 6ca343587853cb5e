"""Keeps the table and the store the same. The one place that changes the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import metrics
from ..aio import in_thread
from ..errors import BatchRejected, LeaseLost
from ..routing.changes import Changes
from ..routing.drift import in_words
from ..routing.records import Table, read_records, revision_in
from ..routing.revision import Revision
from ..routing.routes import Route
from .batches import Limits, cut, only_removes, size_of
from .contract import Backend, Batch
from .lease import Lease

_SHOWN = 5
_ANY = 1 << 30
_LISTING = 1.0  # seconds that Traefik takes at most to list all keys
_WRITTEN_ANYWAY = 2  # the revision, and the sum
_REVISION_BYTES = 256  # of their keys and values, generously

Wanted = Mapping[str, Route | None]


@dataclass(frozen=True, slots=True)
class Committed:
    """The store is at `revision`: `routes` have changed, by name, and None is one that is gone.

    With `is_whole` they are all that there are.
    """

    revision: Revision
    routes: Wanted
    is_whole: bool = False


class Reconciler:
    """A table, and the store that holds it. One call at a time.

    The table is what the store is known to hold. That is in doubt when the outcome of a commit is unknown, or when the
    lease was not held for a while. Then the next call reads the store first. A new writer takes over what it finds, and
    so does one that finds another hub's newer work. Otherwise the store is brought back to the table.

    Unless it `is_listed_at_once`, Traefik reads the store key by key, and a repair allows for that.

    Each of the :attr:`listeners` is called with every revision that the store gets, at once and in order.
    """

    def __init__(
        self, table: Table, backend: Backend, lease: Lease, log: Any, *, is_listed_at_once: bool = True
    ) -> None:
        self.table = table
        #: The revision that the store is at.
        self.revision = Revision.first()
        #: Whether the store may hold something else.
        self.in_doubt = True
        #: When we changed the store last, when we began to read it last (:func:`time.monotonic`), and for how long.
        self.changed_at, self.read_at, self.read_seconds = 0.0, 0.0, 0.0
        self.listeners: list[Callable[[Committed], None]] = []
        self._backend = backend
        self._lease = lease
        self._log = log
        self._is_listed_at_once = is_listed_at_once
        self._is_truth = False
        self._told: Revision | None = None
        #: The largest number that a commit of ours had, whatever became of it.
        self._used = self.revision.number
        #: Whether the listeners must be told the whole table next.
        self._is_table_new = True

    async def check(self) -> None:
        """Compare the store with the table; repair the one, or take over the other."""
        await self._lease.hold()
        await self._read()

    def leave(self) -> None:
        """From now on others may change the store: what is found there next time is the truth."""
        self._is_truth, self.in_doubt = False, True

    async def ensure(self) -> None:
        """Have the lease, and no doubt. Raises what the backend does, and LeaseHeld."""
        if not await self._lease.hold() or self.in_doubt:
            await self._read()

    async def outdo(self, served: str) -> None:
        """Commit a revision that is newer than the one with the text `served`, if the present one is not."""
        await self.ensure()
        if Revision.read(served).rank > Revision.read(self.revision.text).rank:
            self.revision = self.revision.found(served, self._used)
            await self._apply({}, {})

    async def put(self, wanted: Wanted, is_touched: bool) -> dict[str, BatchRejected]:
        """Write the `wanted` routes to the store; returns those that it refused. Call :meth:`ensure` first.

        With `is_touched` there is a new revision even if no route changes.
        """
        rejected: dict[str, BatchRejected] = {}
        before = self.revision
        await self._put(wanted, rejected)
        if is_touched and self.revision is before:
            await self._apply({}, {})
        return rejected

    async def _put(self, wanted: Wanted, rejected: dict[str, BatchRejected]) -> None:
        """Commit the `wanted` routes in few batches; what the store refuses goes into `rejected`."""
        rest = list(wanted)
        while rest:
            undo: dict[str, Route | None] = {}
            try:
                # In a thread, here and below: JupyterHub may ask for thousands of routes at once.
                changes = await in_thread(self._gather, rest, wanted, undo)
                part, rest = rest[: len(undo)], rest[len(undo) :]
                await self._commit(changes, {name: wanted[name] for name in part}, undo)
            except BaseException as error:
                await in_thread(self.table.put, undo)
                if not isinstance(error, BatchRejected):
                    raise
                if self.in_doubt:  # a part of it is in the store
                    await self._read()
                part = list(undo)
                if len(part) == 1:
                    rejected[part[0]] = error
                    continue
                middle = len(part) // 2
                for half in (part[:middle], part[middle:]):
                    await self._put({name: wanted[name] for name in half}, rejected)

    def _gather(self, names: list[str], wanted: Wanted, undo: dict[str, Route | None]) -> Changes:
        """Put as many of the `wanted` routes into the table as one batch holds, and one at least; returns the changes.

        `undo` then has what these routes, the first of `names`, were before.
        """
        limits = self._limits
        count = min(len(names), max(1, (limits.ops or _ANY) // self.table.keys_per_route))
        while True:
            part = names[:count]
            undo |= {name: self.table.routes.get(name) for name in part}
            changes = self.table.put({name: wanted[name] for name in part})
            if count == 1 or limits.allow(len(changes), size_of(changes)):
                return changes
            self.table.put(undo)
            undo.clear()
            count //= 2

    async def _commit(self, changes: Changes, routes: Wanted, undo: Wanted) -> None:
        """Commit `changes` of keys, which are those of `routes`: in one batch, unless one route alone needs more."""
        if not changes:
            return
        parts = [changes]
        if len(routes) == 1 and not self._limits.allow(len(changes), size_of(changes)):
            # Where Traefik reads the store, a route may move dozens of others to another place in the tree.
            parts = await in_thread(self._parts, changes, routes, undo)
        try:
            for part in parts[:-1]:
                await self._apply(part, {})
            await self._apply(parts[-1], routes)
        except BaseException:
            self.in_doubt = self.in_doubt or len(parts) > 1  # some of them may be in the store
            raise

    def _parts(self, changes: Changes, routes: Wanted, undo: Wanted) -> list[Changes]:
        """`changes` in batches within the limits; in one, for the store to refuse, if that cannot be."""
        self.table.put(undo)
        parts = self._cut(changes, self.table.keys, self._limits)
        self.table.put(routes)
        return parts if all(self._limits.allow(len(part), size_of(part)) for part in parts) else [changes]

    def _cut(self, changes: Changes, stored: Mapping[str, str], limits: Limits) -> list[Changes]:
        return list(cut(self.table.stages(changes, stored), limits))

    @property
    def _limits(self) -> Limits:
        ops, size = self._backend.max_txn_ops, self._backend.max_txn_bytes
        return Limits(ops and ops - _WRITTEN_ANYWAY, size and size - _REVISION_BYTES)

    async def _apply(self, changes: Changes, routes: Wanted) -> None:
        """Commit `changes` of keys, which are those of `routes`, and a new revision with them."""
        self.in_doubt = True
        # A commit that failed may have been made, and its number stands for what it had.
        revision = self.revision.next(self._used)
        self._used = revision.number
        try:
            if not await self._lease.hold():
                raise LeaseLost(
                    "The lease ran out in the middle of a change; nothing was changed. If this comes again, the store "
                    "is slow: raise KVProxy.lease_seconds."
                )
            with metrics.store_call("apply"):
                await self._backend.apply(Batch({**changes, **self.table.seal, self.table.revision_key: revision.text}))
        except BatchRejected:
            self.in_doubt = False
            raise
        except LeaseLost:
            self._lease.lost()
            raise
        finally:
            self.changed_at = time.monotonic()
        self.in_doubt = False
        self.revision = revision
        metrics.TRANSACTION_KEYS.observe(len(changes) + 1)
        self._log.debug("Committed %d keys as revision %s", len(changes), revision.text)
        self._tell(routes)

    def _tell(self, routes: Wanted) -> None:
        self._told = self.revision
        committed = Committed(self.revision, routes)
        if self._is_table_new:
            committed = Committed(self.revision, self.table.routes.copy(), is_whole=True)
            self._is_table_new = False
        for listener in self.listeners:
            listener(committed)

    async def _read(self) -> None:
        if self.in_doubt:
            await self._backend.open()  # what it made may have been removed
        self.in_doubt = True
        began = time.monotonic()
        with metrics.store_call("load"):
            keys = (await self._backend.load()).keys
        stored = revision_in(keys)
        is_truth = self._is_truth and self._lease.is_exclusive and not self.revision.is_followed_by(stored)
        drift = await in_thread(self.table.drift, keys)
        self.read_at, self.read_seconds = began, time.monotonic() - began
        if drift and is_truth:
            words = await in_thread(in_words, drift, keys)
            self._log.warning("The store is not as this hub left it. Repairing %r: %s", self._backend.prefix, words)
        elif drift:
            self.table, damaged = await in_thread(read_records, keys, self.table)
            self._is_table_new = True
            self._report(damaged)
            drift = await in_thread(self.table.drift, keys)
        if not is_truth and stored not in ("", self.revision.text):
            self.revision = self.revision.found(stored, self._used)
        self._is_truth = is_truth  # what was taken over is so once it is whole
        try:
            await self._repair(drift, keys, self._limits)
            if drift and is_truth:
                metrics.drift_repaired(len(drift))
            written = {self.table.revision_key: self.revision.text, **self.table.seal}
            if not drift and any(keys.get(key) != value for key, value in written.items()):
                await self._apply({}, {})
        except BaseException:
            self.in_doubt = True  # a part of it may be repaired
            raise
        if self._is_table_new or self.revision is not self._told:
            self._tell({})
        self._is_truth, self.in_doubt = True, False

    async def _repair(self, drift: Changes, keys: Mapping[str, str], limits: Limits) -> None:
        """Bring the store, which holds `keys`, to the table."""
        parts = await in_thread(self._cut, drift, keys, limits)
        for before, part in zip([{}, *parts], parts, strict=False):
            if before and only_removes(part) and not (only_removes(before) or self._is_listed_at_once):
                # Who was listing the keys when the new ones came has some of them, and must not miss the old ones.
                await asyncio.sleep(_LISTING)
            try:
                await self._apply(part, {})
            except BatchRejected:
                half = Limits(len(part) // 2, None)
                if len(await in_thread(self._cut, part, keys, half)) == 1:
                    raise
                await self._repair(part, keys, half)

    def _report(self, damaged: dict[str, str]) -> None:
        for key, why in list(damaged.items())[:_SHOWN]:
            self._log.error("Dropping the damaged entry %s/%s of the table: %s", self._backend.prefix, key, why)
        if len(damaged) > _SHOWN:
            self._log.error("Dropping %d more damaged entries of the table", len(damaged) - _SHOWN)
