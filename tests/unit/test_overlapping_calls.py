"""Calls that change one route at the same time, in all orders: the last one that did not fail counts."""

from __future__ import annotations

import asyncio
import logging
from itertools import permutations, product
from uuid import uuid4

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable, RouteNotReady
from jhub_kvproxy.hub.changes import RouteChanges
from jhub_kvproxy.routing.records import Table
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.store import writer as writer_module
from jhub_kvproxy.store.lease import Lease
from jhub_kvproxy.store.reconciler import Reconciler
from jhub_kvproxy.store.writer import Writer
from tests.hubs_in_memory import ReadableBackend

NAME = Route("/user/a/", "http://127.0.0.1:1", {}).name
SHORT, LONG = 0.005, 60.0
LOG = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(writer_module, "Backoff", lambda first, longest: Pause())


class Pause:
    def reset(self):
        pass

    async def rest(self, news):
        await asyncio.sleep(SHORT / 5)


class Store(ReadableBackend):
    """`mode`: "up", "held" (changes do not come back), "away", "refuses", "lost" (only answers are)."""

    mode = "up"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.is_up = asyncio.Event()

    async def apply(self, batch):
        if self.mode == "held":
            await self.is_up.wait()
        if self.mode == "away":
            raise BackendUnavailable("The store is away.")
        if self.mode == "refuses":
            raise BackendRejected("The store takes no changes.")
        await super().apply(batch)
        if self.mode == "lost":
            raise BackendUnavailable("The answer is lost.")

    def set(self, mode):
        self.mode = mode
        (self.is_up.set if mode == "up" else self.is_up.clear)()


class Delivery:
    """Confirms when it is told to."""

    def __init__(self):
        self.waiting = {}

    async def confirm(self, revision, route, timeout, *, is_new):
        future = self.waiting[asyncio.current_task()] = asyncio.get_running_loop().create_future()
        await future


class Race:
    """Calls that change one route, in the order in which they are started."""

    def __init__(self, kinds, has_route, lease_seconds=LONG):
        self.store = Store(name=uuid4().hex, prefix="p")
        lease = Lease(self.store, lease_seconds, LOG)
        self.stored = Reconciler(Table(), self.store, lease, LOG)
        self.writer = Writer(self.stored)
        self.delivery = Delivery()
        self.changes = RouteChanges(self.writer, self.delivery, LONG)
        self.kinds = kinds
        self.calls = []
        self.failed = set()
        self.first = Route("/user/a/", "http://127.0.0.1:1", {}) if has_route else None
        self.routes = [
            Route("/user/a/", f"http://127.0.0.1:{n + 2}", {}) if kind == "add" else None
            for n, kind in enumerate(kinds)
        ]

    async def prepare(self):
        await self.writer.check()
        if self.first:
            await self.writer.put(self.first, LONG)

    async def start(self, timeout=LONG):
        """Begin the next call; while the store is up it goes on until it waits to be confirmed."""
        route, self.changes.timeout = self.routes[len(self.calls)], timeout
        call = self.changes.add(route) if route else self.changes.delete("/user/a/")
        task = asyncio.create_task(call)
        self.calls.append(task)
        await asyncio.sleep(0)
        self.changes.timeout = LONG
        if self.store.mode == "up":
            await self.is_stored(task)

    async def is_stored(self, task):
        while not task.done() and task not in self.delivery.waiting:
            await asyncio.sleep(0)

    async def give_up(self, n, how):
        """The call ends while the store has not answered."""
        if how == "late":
            await self.is_stored(self.calls[n])
        if self.calls[n] in self.delivery.waiting:  # there was nothing to store
            return await self.finish(n, "ok")
        if how == "cancelled":
            self.calls[n].cancel()
        (outcome,) = await asyncio.gather(self.calls[n], return_exceptions=True)
        assert isinstance(outcome, asyncio.CancelledError if how == "cancelled" else BackendUnavailable), outcome
        self.failed.add(n)

    async def finish(self, n, how):
        task = self.calls[n]
        await self.is_stored(task)
        if how == "ok":
            self.delivery.waiting[task].set_result(None)
        elif how == "not ready":
            self.delivery.waiting[task].set_exception(RouteNotReady("It is not."))
        else:
            task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert type(outcome) is {"ok": type(None), "not ready": RouteNotReady}.get(how, asyncio.CancelledError) or (
            how == "ok" and self.kinds[n] == "add"
        )
        if how == "not ready":
            assert ("is deleted" in str(outcome)) == (self.kinds[n] == "delete")
        # What is deleted is so, whoever was told.
        if how != "ok" and self.kinds[n] == "add":
            self.failed.add(n)

    async def check(self):
        """The last call that did not fail counts, for the table and for the store."""
        left = [route for n, route in enumerate(self.routes[: len(self.calls)]) if n not in self.failed]
        wanted = left[-1] if left else self.first
        while self.writer._is_committing:
            await asyncio.sleep(0)
        assert self.writer.table.routes.get(NAME) is wanted
        assert (await self.store.load()).keys.get(f"routes/{NAME}") == (wanted.to_record() if wanted else None)
        assert not self.writer.table.drift((await self.store.load()).keys)

    async def end(self):
        await self.writer.close()
        assert not self.changes._under_way
        assert not self.writer._callers
        await self.store.close()


HOW = ("ok", "not ready", "cancelled")
MIXES = [
    ("add", "add", "add"),
    ("add", "delete", "add"),
    ("add", "add", "delete"),
    ("delete", "add", "delete"),
]


def orders(count):
    """All orders in which `count` calls start, one after another, and finish: None is a start."""

    def extend(started, left):
        if started == count and not left:
            yield ()
        if started < count:
            for rest in extend(started + 1, left | {started}):
                yield (None, *rest)
        for n in sorted(left):
            for rest in extend(started, left - {n}):
                yield (n, *rest)

    return list(extend(0, frozenset()))


@pytest.mark.parametrize("has_route", [False, True], ids=["new", "there"])
@pytest.mark.parametrize("kinds", MIXES, ids="-".join)
async def test_calls_that_are_stored_and_confirmed_in_any_order(kinds, has_route):
    for order, how in product(orders(3), product(HOW, repeat=3)):
        race = Race(kinds, has_route)
        await race.prepare()
        for event in order:
            await (race.start() if event is None else race.finish(event, how[event]))
            try:
                await race.check()
            except AssertionError as error:
                raise AssertionError(f"{order} {how}: {event}") from error
        await race.end()


@pytest.mark.parametrize("has_route", [False, True], ids=["new", "there"])
@pytest.mark.parametrize("lease_seconds", [0, LONG], ids=["no_lease", "lease"])
@pytest.mark.parametrize("mode", ["held", "away", "lost"])
async def test_calls_that_the_store_does_not_answer_in_any_order(mode, lease_seconds, has_route):
    fates = product((None, "cancelled", "late"), repeat=2)
    for kinds, fate in product(product(("add", "delete"), repeat=2), fates):
        over, alive = ([n for n in (0, 1) if bool(fate[n]) is is_over] for is_over in (True, False))
        endings = product(permutations(over), permutations(alive), product(HOW, repeat=len(alive)))
        for givings_up, finishes, how in endings:
            race = Race(kinds, has_route, lease_seconds)
            await race.prepare()
            race.store.set(mode)
            for n in (0, 1):
                await race.start(SHORT if fate[n] == "late" else LONG)
            if fate[0] == "cancelled":  # some are in the middle of a try by then
                await asyncio.sleep(0)
            for n in givings_up:
                await race.give_up(n, fate[n])
            race.store.set("up")
            for n in alive:
                await race.is_stored(race.calls[n])
            try:
                await race.check()
                for n, ending in zip(finishes, how, strict=True):
                    await race.finish(n, ending)
                    await race.check()
            except AssertionError as error:
                raise AssertionError(f"{kinds} {fate} {givings_up} {finishes} {how}") from error
            await race.end()


@pytest.mark.parametrize("has_route", [False, True], ids=["new", "there"])
async def test_a_route_is_taken_back_even_if_the_store_takes_no_changes_for_a_while(has_route):
    race = Race(("add", "add"), has_route)
    await race.prepare()
    await race.start()
    race.store.set("refuses")
    await race.finish(0, "cancelled")
    for _ in range(20):
        await asyncio.sleep(SHORT / 5)
    other = Route("/user/b/", "http://127.0.0.1:1", {})
    with pytest.raises(BackendRejected):
        await race.changes.add(other)
    assert race.writer.latest(other.name) is None
    race.store.set("up")
    await race.check()
    await race.end()
