"""The reconciler on a store in memory: what it tells its listeners, and where it computes."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import ClassVar
from uuid import uuid4

import pytest

from jhub_kvproxy import BackendUnavailable, BatchRejected
from jhub_kvproxy.routing.hub_options import HUB_OPTIONS
from jhub_kvproxy.routing.records import REVISION, Table
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.store.lease import Lease
from jhub_kvproxy.store.reconciler import Reconciler
from jhub_kvproxy.testing import MemoryBackend, flaky
from jhub_kvproxy.traefik_routers.table import Routing, RoutingTable

LOG = logging.getLogger("reconciler")


def route(name):
    return Route(f"/user/{name}/", "http://127.0.0.1:1", {})


class Store(MemoryBackend):
    """Raises `error` for each batch with more than `most` keys."""

    most, error = 1 << 30, BackendUnavailable

    async def apply(self, batch):
        if len(batch.changes) > self.most:
            raise self.error("On purpose.")
        await super().apply(batch)


class Slow(Table):
    """Notes the threads that compute."""

    def __init__(self, routes=(), options=""):
        super().__init__(routes, options)
        self.threads, self.may_go_on = [], threading.Event()
        self.may_go_on.set()

    def put(self, wanted):
        self.threads.append(threading.current_thread())
        self.may_go_on.wait(10)
        return super().put(wanted)

    def stages(self, changes, stored):
        self.threads.append(threading.current_thread())
        return super().stages(changes, stored)


@pytest.fixture
async def stored():
    backend = Store(name=uuid4().hex, prefix="hub")
    stored = Reconciler(Slow(), backend, Lease(backend, 60, LOG), LOG)
    await stored.check()
    stored.table.threads.clear()
    return stored


async def test_what_the_store_does_not_take_is_undone_in_a_thread(stored):
    stored._backend.most = 0
    with pytest.raises(BackendUnavailable):
        await stored.put({"p.user.a": route("a")}, False)
    assert len(stored.table.threads) == 2
    assert threading.main_thread() not in stored.table.threads
    assert not stored.table.routes


async def test_what_is_not_taken_is_undone_although_the_caller_is_cancelled(stored):
    table = stored.table
    stored._backend.most = 0
    putting = asyncio.create_task(stored.put({"p.user.a": route("a")}, False))
    while not table.routes:
        await asyncio.sleep(0)
    table.may_go_on.clear()
    while len(table.threads) < 2:
        await asyncio.sleep(0)
    putting.cancel()
    await asyncio.sleep(0)
    table.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert not table.routes


async def test_a_repair_that_is_refused_is_cut_in_a_thread(stored):
    backend = stored._backend
    await stored.put({route(name).name: route(name) for name in "abcd"}, False)
    backend._table.keys.clear()
    backend.most, backend.error = 3, BatchRejected
    stored.table.threads.clear()
    await stored.check()
    assert len(backend._table.keys) == 5
    assert stored.table.threads
    assert threading.main_thread() not in stored.table.threads


async def test_each_revision_is_told_once(stored):
    told = []
    stored.listeners.append(lambda committed: told.append(committed.revision.text))
    await stored.put({route(name).name: route(name) for name in "ab"}, False)
    for key in list(stored._backend._table.keys):
        del stored._backend._table.keys[key]
        await stored.check()
    stored._backend._table.keys["revision"] = "1-another.7"
    await stored.check()
    await stored.check()
    assert told
    assert len(told) == len(set(told))
    assert told[-1] == stored.revision.text


def recorded(backend_class):
    """One like it that notes what the store held at each revision; a revision of two contents is an error."""

    class Recorded(backend_class):
        contents: ClassVar[dict[str, dict[str, str]]] = {}

        async def apply(self, batch):
            try:
                await super().apply(batch)
            finally:
                keys = dict(self._table.keys)
                revision = keys.pop(REVISION, "")
                assert self.contents.setdefault(revision, keys) == keys, revision

    return Recorded


@pytest.mark.parametrize("seconds", [60, 0], ids=["lease", "no_lease"])
@pytest.mark.parametrize("then", ["nothing", "the same", "another"])
async def test_a_revision_never_stands_for_two_contents(then, seconds):
    """The outcome of a commit is unknown, and it was made: agents may serve it by its revision."""
    backend = recorded(flaky(MemoryBackend))(name=uuid4().hex, prefix="hub")
    stored = Reconciler(Table(), backend, Lease(backend, seconds, LOG), LOG)
    await stored.check()
    backend.faults.append("after")
    with pytest.raises(BackendUnavailable):
        await stored.put({route("a").name: route("a")}, False)
    unknown = backend._table.keys[REVISION]
    await stored.ensure()
    if then != "nothing":
        one = route("a" if then == "the same" else "b")
        await stored.put({one.name: one}, False)
    assert unknown in backend.contents
    assert stored.revision.text == backend._table.keys[REVISION]


async def test_what_another_hub_wrote_gets_no_number_that_was_used():
    """A replica that serves the lost commit does not serve what was found later."""
    backend = flaky(MemoryBackend, "", "", "after")(name=uuid4().hex, prefix="hub")
    stored = Reconciler(Table(), backend, Lease(backend, 0, LOG), LOG)
    await stored.check()
    with pytest.raises(BackendUnavailable):
        await stored.put({route("a").name: route("a")}, False)
    unknown = backend._table.keys[REVISION]
    backend._table.keys[REVISION] = "1-another.7"
    await stored.check()
    assert not stored.revision.is_reached_by(unknown)


def with_options(options):
    return Table(options=options)


def for_traefik(_):
    return RoutingTable(Routing.TREE)


@pytest.mark.parametrize("found", ["", "older", "mine"])
@pytest.mark.parametrize(("table", "kept"), [(with_options, "mine"), (with_options, ""), (for_traefik, "")])
async def test_the_options_in_the_store_are_those_of_this_hub(table, kept, found):
    backend = MemoryBackend(name=uuid4().hex, prefix="hub")
    before = Reconciler(Table(options=found), backend, Lease(backend, 60, LOG), LOG)
    await before.check()
    await before.put({route("a").name: route("a")}, False)
    await backend.release_lease()
    revision = backend._table.keys[REVISION]

    stored = Reconciler(table(kept), backend, Lease(backend, 60, LOG), LOG)
    await stored.check()
    assert backend._table.keys.get(HUB_OPTIONS, "") == kept
    assert stored.table.routes.keys() == {route("a").name}
    if found != kept:
        assert stored.revision.text != revision

    for damage in ("foreign", None):
        if damage:
            backend._table.keys[HUB_OPTIONS] = damage
        else:
            backend._table.keys.pop(HUB_OPTIONS, None)
        await stored.check()
        assert backend._table.keys.get(HUB_OPTIONS, "") == kept
