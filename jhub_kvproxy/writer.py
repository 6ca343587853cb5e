"""The writer: collects the changes that arrive while a commit is under way, and commits them as one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .backend import Backend, Batch
from .batches import Limits, cut, size_of
from .changes import Changes
from .errors import BatchRejected
from .pace import Pace
from .revision import Revision
from .routes import Route
from .table import REVISION_KEY, RoutingTable, read_records

T = TypeVar("T")

_SHOWN = 5
_ANY = 1 << 30
_ROUTE_OPS = 7  # about the keys of a new route, and its share in those of the tree
_REVISION_BYTES = 256  # of the revision's key and value, generously


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a commit: the revision that it led to, and the routes that the store refused, by name."""

    revision: Revision
    rejected: Mapping[str, BatchRejected]


_Wanted = Mapping[str, Route | None]


class Writer:
    """The one place that changes the store.

    Its table is what the store is known to hold. When that is in doubt, because a commit failed and its
    outcome is unknown, the next commit reads the store first.
    """

    def __init__(self, table: RoutingTable, backend: Backend, pace: Pace, log: Any) -> None:
        self.table = table
        #: The revision that the store is at.
        self.revision = Revision.first()
        self._backend = backend
        self._pace = pace
        self._log = log
        self._in_doubt = True
        self._io = asyncio.Lock()
        self._wanted: dict[str, Route | None] = {}
        self._in_flight: dict[str, Route | None] = {}
        self._committed: asyncio.Future[_Outcome] | None = None
        self._is_touched = False
        self._committing: asyncio.Task[None] | None = None

    async def put(self, route: Route) -> Revision:
        """Store `route`. Returns the revision that holds it, or what a later call made of it."""
        return await self._want(route.name, route)

    async def delete(self, name: str) -> Revision:
        """Remove the route `name` if there is one. Returns the revision without it, or what a later call made of it."""
        return await self._want(name, None)

    async def take_back(self, route: Route, previous: Route | None) -> None:
        """Put `previous` (None: nothing) in the place of `route`, unless another call has decided on it since."""
        if self.latest(route.name) is route:
            await self._want(route.name, previous)

    async def touch(self) -> Revision:
        """Commit a new revision, and with it all that is wanted meanwhile."""
        self._is_touched = True
        return (await self._outcome()).revision

    def latest(self, name: str) -> Route | None:
        """The route `name` as the last call left it, committed or not."""
        for routes in (self._wanted, self._in_flight):
            if name in routes:
                return routes[name]
        return self.table.routes.get(name)

    async def load(self) -> RoutingTable:
        """The table as the store has it now; keys that do not follow from its records are repaired first."""
        async with self._io:
            await self._read_store()
            return self.table

    async def look(self, at: Callable[[RoutingTable, Revision], T]) -> T:
        """What `at` makes of the table and the revision that it is at, in a thread."""
        async with self._io:
            return await asyncio.to_thread(at, self.table, self.revision)

    async def close(self) -> None:
        """Finish what is under way."""
        if self._committing:
            await asyncio.wait([self._committing])
        await self._pace.close()

    async def _want(self, name: str, route: Route | None) -> Revision:
        self._wanted[name] = route
        outcome = await self._outcome()
        if name in outcome.rejected:
            raise outcome.rejected[name]
        return outcome.revision

    async def _outcome(self) -> _Outcome:
        """What becomes of the next commit."""
        if self._committed is None:
            self._committed = asyncio.get_running_loop().create_future()
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all())
        # A caller that gives up must not take the others' commit with it.
        return await asyncio.shield(self._committed)

    async def _commit_all(self) -> None:
        try:
            while self._committed is not None:
                await self._pace.turn()
                async with self._io:
                    committed, self._committed = self._committed, None
                    self._in_flight, self._wanted = self._wanted, {}
                    is_touched, self._is_touched = self._is_touched, False
                    try:
                        rejected = await self._commit(self._in_flight, is_touched)
                    except Exception as error:
                        committed.set_exception(error)
                        committed.exception()  # nobody may be left to hear of it
                    else:
                        committed.set_result(_Outcome(self.revision, rejected))
                    finally:
                        self._in_flight = {}
                        committed.cancel()
        finally:
            self._committing = None

    async def _commit(self, wanted: dict[str, Route | None], is_touched: bool) -> dict[str, BatchRejected]:
        """Bring the store to hold the `wanted` routes; returns those that it refused."""
        if self._in_doubt:
            await self._read_store()
        rejected: dict[str, BatchRejected] = {}
        before = self.revision
        await self._put(wanted, rejected)
        if is_touched and self.revision is before:
            await self._apply({})
        return rejected

    async def _put(self, wanted: _Wanted, rejected: dict[str, BatchRejected]) -> None:
        """Commit the `wanted` routes in few batches; what the store refuses goes into `rejected`."""
        rest = list(wanted)
        while rest:
            # In a thread, here and below: JupyterHub may ask for thousands of routes at once.
            part, changes, undo = await asyncio.to_thread(self._gather, rest, wanted)
            rest = rest[len(part) :]
            try:
                if changes:
                    await self._apply(changes)
            except BaseException as error:
                self.table.put(undo)
                if not isinstance(error, BatchRejected):
                    raise
                if len(part) == 1:
                    rejected[part[0]] = error
                    continue
                middle = len(part) // 2
                for half in (part[:middle], part[middle:]):
                    await self._put({name: wanted[name] for name in half}, rejected)

    def _gather(self, names: list[str], wanted: _Wanted) -> tuple[list[str], Changes, _Wanted]:
        """Put as many of the `wanted` routes into the table as a batch holds.

        Returns their names, the changes, and what undoes them.
        """
        limits = self._limits
        count = min(len(names), max(1, (limits.ops or _ANY) // _ROUTE_OPS))
        while True:
            part = names[:count]
            undo = {name: self.table.routes.get(name) for name in part}
            changes = self.table.put({name: wanted[name] for name in part})
            if count == 1 or limits.allow(len(changes), size_of(changes)):
                return part, changes, undo
            self.table.put(undo)
            count //= 2

    @property
    def _limits(self) -> Limits:
        ops, size = self._backend.max_txn_ops, self._backend.max_txn_bytes
        return Limits(ops and ops - 1, size and size - _REVISION_BYTES)

    async def _apply(self, changes: Changes) -> None:
        self._in_doubt = True
        revision = self.revision.next()
        try:
            await self._backend.apply(Batch({**changes, REVISION_KEY: revision.text}))
        except BatchRejected:
            self._in_doubt = False
            raise
        self._in_doubt = False
        self.revision = revision
        self._pace.committed(revision)
        self._log.debug("Committed %d keys as revision %s", len(changes), revision.text)

    async def _read_store(self) -> None:
        keys = (await self._backend.load()).keys
        drift = await asyncio.to_thread(self.table.drift, keys)
        if drift:
            self.table, damaged = await asyncio.to_thread(read_records, keys, self.table)
            self._report(damaged)
            drift = await asyncio.to_thread(self.table.drift, keys)
        stored = keys.get(REVISION_KEY)
        if stored and stored != self.revision.text:
            self.revision = self.revision.found(stored)
        try:
            await self._repair(drift, keys, self._limits)
            if stored is None and not drift:
                await self._apply({})
        except BaseException:
            self._in_doubt = True  # a part of it may be repaired
            raise
        self._in_doubt = False

    async def _repair(self, drift: Changes, keys: Mapping[str, str], limits: Limits) -> None:
        """Bring the store, which holds `keys`, to the table."""
        for part in await asyncio.to_thread(list, cut(drift, keys, limits)):
            try:
                await self._apply(part)
            except BatchRejected:
                half = Limits(len(part) // 2, None)
                if len(list(cut(part, keys, half))) == 1:
                    raise
                await self._repair(part, keys, half)

    def _report(self, damaged: dict[str, str]) -> None:
        for key, why in list(damaged.items())[:_SHOWN]:
            self._log.error("Dropping the damaged entry %s/%s of the table: %s", self._backend.prefix, key, why)
        if len(damaged) > _SHOWN:
            self._log.error("Dropping %d more damaged entries of the table", len(damaged) - _SHOWN)
