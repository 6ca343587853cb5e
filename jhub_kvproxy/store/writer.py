"""The writer: collects the changes that arrive while a commit is under way, and commits them as one batch."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from .. import metrics
from ..aio import Backoff, cancel
from ..errors import BackendError, BackendUnavailable, BatchRejected, LeaseHeld, LeaseLost
from ..routing.records import Table
from ..routing.revision import Revision
from ..routing.routes import Route
from .reconciler import Reconciler

#: What passes by itself: a commit is then tried again.
_PASSING = (BackendUnavailable, LeaseHeld, LeaseLost)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a commit: the revision that it led to, and the routes that the store refused, by name."""

    revision: Revision
    rejected: Mapping[str, BatchRejected]


class Throttle(Protocol):
    """Says when the next commit may be made."""

    async def turn(self) -> None:
        """Wait until it may be made."""


class Writer:
    """The only way to the store: one call at a time, whoever asks.

    While the store is away, or another hub has the lease, it tries again, and keeps what is wanted until the caller's
    time is up. Without a `throttle`, each commit is made as soon as the one before has been.
    """

    def __init__(self, stored: Reconciler, throttle: Throttle | None = None) -> None:
        self._stored = stored
        self._throttle = throttle
        self._io = asyncio.Lock()
        self._wanted: dict[str, Route | None] = {}
        self._in_flight: dict[str, Route | None] = {}
        #: The routes in the table that those in flight take the place of.
        self._replaced: dict[str, Route | None] = {}
        #: How many calls wait for a route, by name.
        self._callers: Counter[str] = Counter()
        self._waiting: list[asyncio.Future[_Outcome]] = []
        self._is_touched = False
        self._committing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        #: Why the last commit has to be tried again.
        self._trouble: BackendError | None = None

    @property
    def table(self) -> Table:
        """What the store is known to hold, or is brought to."""
        return self._stored.table

    @property
    def revision(self) -> Revision:
        """The revision that the store is at."""
        return self._stored.revision

    @property
    def term(self) -> int:
        """This writer's, which is larger than that of the writer before it."""
        return self.revision.term

    async def put(self, route: Route, timeout: float) -> Revision:
        """Store `route`. Returns the revision that holds it, or what a later call made of it.

        Raises a BackendError; what passes by itself after `timeout` seconds only. Then, or when it is cancelled, the
        route may be stored all the same, unless the caller has another one there by :meth:`restore`.
        """
        return await self._want(route.name, route, timeout)

    async def delete(self, name: str, timeout: float) -> Revision:
        """Remove the route `name` if there is one, in the way of :meth:`put`."""
        return await self._want(name, None, timeout)

    def restore(self, name: str, route: Route | None) -> None:
        """Have `route` (None: nothing) in the store under `name` as soon as the store can be used, and nothing else."""
        if self._is_closed:
            return
        if name not in self._replaced:
            self._in_flight.pop(name, None)  # it is not in the batch yet
        is_ours = not isinstance(self._trouble, LeaseHeld)  # otherwise it is the other hub's to keep now
        in_doubt = name in self._replaced or (self._stored.in_doubt and is_ours)
        if in_doubt or self.table.routes.get(name) is not route:
            self._wanted[name] = route
            self._begin()
        else:
            self._wanted.pop(name, None)

    async def settle(self, timeout: float) -> None:
        """Wait until what is wanted now is in the store, for `timeout` seconds at most."""
        if self._wanted or self._in_flight:
            with suppress(BackendError):
                await self._outcome(timeout)

    async def touch(self, timeout: float) -> Revision:
        """Commit a new revision, and with it all that is wanted meanwhile."""
        self._is_touched = True
        return (await self._outcome(timeout)).revision

    def latest(self, name: str) -> Route | None:
        """The route `name` as the last call left it, committed or not."""
        for routes in (self._wanted, self._in_flight):
            if name in routes:
                return routes[name]
        return self.table.routes.get(name)

    async def routes(self, *, from_memory: bool) -> Mapping[str, Route]:
        """All routes, by name; if not `from_memory`, or in doubt, the store is compared first."""
        async with self._turn():
            if not from_memory or self._stored.in_doubt:
                await self._stored.check()
            return self.table.routes.copy()

    async def check(self) -> None:
        """Compare the store with the table; repair the one, or take over the other."""
        async with self._turn():
            await self._stored.check()

    async def renew(self) -> None:
        """Have the lease for longer. If it was lost meanwhile, or there is any other doubt, compare too."""
        async with self._turn():
            await self._stored.ensure()

    async def outdo(self, served: str) -> None:
        """Bring the table to a revision newer than the one with the text `served`, which a Traefik of ours serves."""
        async with self._turn():
            await self._stored.outdo(served)

    def open(self) -> None:
        """Take calls again, after :meth:`close`."""
        self._wanted.clear()
        self._closing.clear()

    async def close(self) -> None:
        """Finish what is under way, try nothing again, and leave the store alone until :meth:`open`."""
        self._closing.set()
        try:
            if self._committing:
                await asyncio.wait([self._committing])
        finally:
            if self._committing:
                await cancel([self._committing])
            async with self._io:
                self._stored.leave()

    @property
    def _is_closed(self) -> bool:
        return self._closing.is_set() and not self._is_committing

    @property
    def _is_committing(self) -> bool:
        # One that was cancelled before its first step could not tell that it has ended.
        return self._committing is not None and not self._committing.done()

    def _check_open(self) -> None:
        if self._is_closed:
            raise BackendUnavailable("The hub has closed its store.")

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """The store, for one call."""
        async with self._io:
            self._check_open()
            yield

    async def _want(self, name: str, route: Route | None, timeout: float) -> Revision:
        self._check_open()
        self._wanted[name] = route
        self._callers[name] += 1
        try:
            with metrics.COMMIT_DURATION.time():
                while True:
                    outcome = await self._outcome(timeout)
                    if name in outcome.rejected:
                        raise outcome.rejected[name]
                    # A later call may have had its own route there instead, and have been undone since.
                    if self.latest(name) is not route or self.table.routes.get(name) is route:
                        return outcome.revision
        finally:
            self._callers[name] -= 1
            if not self._callers[name]:
                del self._callers[name]

    async def _outcome(self, timeout: float) -> _Outcome:
        """What becomes of the next commit that does not have to be tried again."""
        self._check_open()
        future: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._begin()
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            error = self._trouble or BackendUnavailable(
                "The store has not taken the change yet, nor said why; if it is slow, raise KVProxy.ready_timeout."
            )
            kind = next((kind for kind in _PASSING if isinstance(error, kind)), BackendUnavailable)
            raise kind(f"{error} The change was given up after {timeout:g} s.") from error

    def _begin(self) -> None:
        if not self._is_committing:
            self._committing = asyncio.create_task(self._commit_all(), name="committing")

    async def _commit_all(self) -> None:
        self._trouble = None
        backoff = Backoff(0.1, 2.0)
        try:
            while self._waiting or self._wanted:
                if self._throttle:
                    await self._throttle.turn()
                async with self._io:
                    await self._commit()
                if self._trouble is None:
                    backoff.reset()
                elif self._closing.is_set():
                    break
                else:
                    metrics.COMMIT_RETRIES.inc()
                    await backoff.rest(self._closing)
                    self._waiting = [future for future in self._waiting if not future.done()]
        except Exception as error:  # a fault of the throttle's, say: who waits must hear of it
            waiting, self._waiting = self._waiting, []
            _settle(waiting, error)
            raise
        finally:
            self._committing = None
            waiting, self._waiting = self._waiting, []
            _settle(waiting, self._trouble)

    async def _commit(self) -> None:
        """Commit what is wanted, and tell who waits; if it has to be tried again, `_trouble` says why."""
        waiting, self._waiting = self._waiting, []
        wanted, self._wanted = self._wanted, {}
        is_touched, self._is_touched = self._is_touched, False
        self._in_flight, outcome = wanted, None
        try:
            await self._stored.ensure()
            self._replaced = {name: self.table.routes.get(name) for name in wanted}
            rejected = await self._stored.put(wanted, is_touched)
            outcome = _Outcome(self.revision, rejected)
            if wanted:
                metrics.COMMIT_ROUTES.observe(len(wanted))
            self._trouble = None
        except _PASSING as error:
            self._trouble = error
            if isinstance(error, LeaseHeld):  # what is to be undone is the other hub's now
                wanted = {name: route for name, route in wanted.items() if name in self._callers}
            self._wanted = {**wanted, **self._wanted}
            self._is_touched |= is_touched
            self._waiting, waiting = waiting + self._waiting, []
        except Exception as error:
            _settle(waiting, error)
            undone = {name: route for name, route in wanted.items() if name not in self._callers}
            self._trouble = error if undone and isinstance(error, BackendError) else None
            if self._trouble:  # nobody else would undo it
                self._wanted = {**undone, **self._wanted}
        finally:
            self._in_flight, self._replaced = {}, {}
            _settle(waiting, outcome)


def _settle(waiting: list[asyncio.Future[_Outcome]], outcome: _Outcome | Exception | None) -> None:
    """Tell those of `waiting` who do not know yet; None: there is no outcome."""
    for future in waiting:
        if future.done():
            continue
        if outcome is None:
            future.cancel()
        elif isinstance(outcome, Exception):
            future.set_exception(outcome)
            future.exception()  # nobody may be left to hear of it
        else:
            future.set_result(outcome)
