"""The writer: collects the changes that arrive while a commit is under way, and commits them as one batch."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .backend import Backend, Batch
from .errors import BatchRejected
from .routes import Route
from .table import REVISION_KEY, Changes, RoutingTable, batches, by_route, halves, read_records

_SHOWN = 5
_REVISION_BYTES = 256  # of the revision's key and value, generously


@dataclass(frozen=True, slots=True)
class Revision:
    """A state of the table: `text` stands in the store beside it, `number` orders the states that one writer saw.

    `epoch` is that writer's life. A state that it found in the store, another's work, has a number too.
    """

    epoch: str
    number: int
    text: str

    def is_reached_by(self, seen: str) -> bool:
        """Whether a replica that serves the revision with the text `seen` is at this one, or past it."""
        epoch, _, number = seen.partition(".")
        return seen == self.text or (epoch == self.epoch and number.isdecimal() and int(number) >= self.number)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a commit: the revision that it led to, and the routes that the store refused, by name."""

    revision: Revision
    rejected: Mapping[str, BatchRejected]


class Writer:
    """The one place that changes the store.

    Its table is what the store is known to hold. When that is in doubt, because a commit failed and its
    outcome is unknown, the next commit reads the store first.
    """

    def __init__(self, backend: Backend, log: Any) -> None:
        self.table = RoutingTable()
        epoch = secrets.token_hex(4)
        #: The revision that the store is at.
        self.revision = Revision(epoch, 0, f"{epoch}.0")
        self._backend = backend
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

    async def close(self) -> None:
        """Finish what is under way."""
        if self._committing:
            await asyncio.wait([self._committing])

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
        # In a thread, here and below: JupyterHub may ask for thousands of routes at once.
        changes = await asyncio.to_thread(self.table.changes, wanted)
        rejected = await self._apply(changes) if changes or is_touched else {}
        if rejected:
            wanted = {name: route for name, route in wanted.items() if name not in rejected}
            changes = self.table.changes(wanted)
        self.table.update(wanted, changes)
        return rejected

    async def _apply(self, changes: Changes) -> dict[str, BatchRejected]:
        """Commit `changes` in as few parts as the store takes; returns the routes that it refuses."""
        self._in_doubt = True
        rejected = {}
        ops, size = self._backend.max_txn_ops, self._backend.max_txn_bytes
        parts = deque(batches(changes, ops and ops - 1, size and size - _REVISION_BYTES))
        while parts:
            part = parts.popleft()
            number = self.revision.number + 1
            revision = Revision(self.revision.epoch, number, f"{self.revision.epoch}.{number}")
            try:
                await self._backend.apply(Batch({**part, REVISION_KEY: revision.text}))
            except BatchRejected as error:
                smaller = halves(part)
                if len(smaller) == 1:
                    rejected[next(iter(by_route(part)))] = error
                elif smaller:
                    parts.extendleft(reversed(smaller))
                else:
                    raise
            else:
                self.revision = revision
                self._log.debug("Committed %d keys as revision %s", len(part), revision.text)
        self._in_doubt = False
        return rejected

    async def _read_store(self) -> None:
        keys = (await self._backend.load()).keys
        drift = await asyncio.to_thread(self.table.drift, keys)
        if drift:
            self.table, damaged = await asyncio.to_thread(read_records, keys, self.table)
            self._report(damaged)
            drift = await asyncio.to_thread(self.table.drift, keys)
        stored = keys.get(REVISION_KEY)
        if drift or stored is None:
            for error in (await self._apply(drift)).values():
                raise error
        elif stored != self.revision.text:
            self.revision = Revision(self.revision.epoch, self.revision.number + 1, stored)
        self._in_doubt = False

    def _report(self, damaged: dict[str, str]) -> None:
        for key, why in list(damaged.items())[:_SHOWN]:
            self._log.error("Dropping the damaged entry %s/%s of the table: %s", self._backend.prefix, key, why)
        if len(damaged) > _SHOWN:
            self._log.error("Dropping %d more damaged entries of the table", len(damaged) - _SHOWN)
