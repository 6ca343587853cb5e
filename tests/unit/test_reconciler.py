"""The reconciler on a store in memory: what it tells its listeners, and where it computes."""

from __future__ import annotations

import asyncio
import logging
import threading
from uuid import uuid4

import pytest

from jhub_kvproxy import BackendUnavailable, BatchRejected
from jhub_kvproxy.routing.records import Table
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.store.lease import Lease
from jhub_kvproxy.store.reconciler import Reconciler
from jhub_kvproxy.testing import MemoryBackend

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

    def __init__(self, routes=()):
        super().__init__(routes)
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
