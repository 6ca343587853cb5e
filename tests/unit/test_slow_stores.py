"""Stores that take long, or that do some of what they are asked and not the rest. In memory, without Traefik."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from traitlets import TraitError
from traitlets.config import Config

from jhub_kvproxy import BackendUnavailable
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.store import guard
from tests.hub import until
from tests.hubs_in_memory import ReadableBackend

TARGET = "http://127.0.0.1:1"


class Store(ReadableBackend):
    """Its lease takes `lease_takes` seconds, other calls `call_takes`; its watch fails while `has_no_watch`."""

    lease_takes = call_takes = 0.0
    asked = 0
    has_no_watch = False

    async def acquire_lease(self, holder, ttl):
        self.asked += 1
        self.lasts = ttl
        await asyncio.sleep(self.lease_takes)
        await super().acquire_lease(holder, ttl)

    async def apply(self, batch):
        await asyncio.sleep(self.call_takes)
        await super().apply(batch)

    async def load(self):
        await asyncio.sleep(self.call_takes)
        return await super().load()

    async def watch(self):
        async for _ in super().watch():
            if self.has_no_watch:
                raise BackendUnavailable("The watch is over.")
            yield


@pytest.fixture(params=["push", "store"])
async def new(request):
    name, made = uuid4().hex, []

    def make(**traits):
        chosen = {"backend_class": Store, "delivery": request.param, **traits}
        made.append(KVProxy(config=Config({"KVProxy": chosen, "MemoryBackend": {"name": name}})))
        return made[-1]

    yield make
    for hub in made:
        await hub.stop()


@pytest.mark.parametrize("seconds", [0.5, 0.999])
async def test_a_lease_is_not_shorter_than_stores_can_renew_it(new, seconds):
    with pytest.raises(TraitError, match="must be 1 or more, or 0 for no lease"):
        new(lease_seconds=seconds)


@pytest.mark.parametrize("seconds", [0, 1, 10])
async def test_a_lease_is_at_least_a_second(new, seconds):
    assert new(lease_seconds=seconds).lease_seconds == seconds


async def test_a_store_that_grants_the_lease_too_slowly_is_an_error_that_says_what_to_set(new):
    hub = new(lease_seconds=1, store_timeout=1)
    hub.backend.lease_takes = 1.1
    with pytest.raises(BackendUnavailable, match=r"which lasts 1 s; set KVProxy\.lease_seconds to [56] or more"):
        await hub.get_all_routes()
    assert hub.backend.asked == 1
    hub.backend.lease_takes = 0
    assert await hub.get_all_routes() == {}


async def test_a_call_to_a_store_that_grants_the_lease_too_slowly_ends(new):
    hub = new(lease_seconds=1, ready_timeout=1.5)
    await hub.get_all_routes()
    hub.control.lease.lost()
    hub.backend.lease_takes = 1.1
    with pytest.raises(BackendUnavailable, match=r"set KVProxy\.lease_seconds to [56] or more"):
        await hub.add_route("/user/a/", TARGET, {})
    await until(lambda: not hub.control.writer._is_committing, "it is tried for ever")
    hub.backend.lease_takes = 0


async def test_routes_change_in_a_store_that_takes_most_of_the_lease_to_grant_it(new, caplog):
    """As etcd does, whose lease takes two calls, when each takes 3 s, and the lease lasts 10 s."""
    caplog.set_level("INFO")
    hub = new(lease_seconds=1)
    await hub.get_all_routes()
    hub.backend.lease_takes, hub.backend.call_takes = 0.6, 0.3
    for name in "abcd":
        await hub.add_route(f"/user/{name}/", TARGET, {})
        await asyncio.sleep(0.1)
    assert (await hub.get_all_routes()).keys() == {f"/user/{name}/" for name in "abcd"}
    assert hub.backend.lasts == 4
    assert "asks for 4 s instead of the 1 s of KVProxy.lease_seconds" in caplog.text
    hub.backend.lease_takes = hub.backend.call_takes = 0.0
    await until(lambda: hub.backend.lasts == 1, "the lease stays long")


async def test_when_only_the_watch_fails_the_log_says_that_and_all_else_works(new, caplog, monkeypatch):
    monkeypatch.setattr(guard, "_STEADY", 0.2)
    hub, other = new(lease_seconds=0), new(lease_seconds=0)
    await hub.get_all_routes()
    hub.backend.has_no_watch = True
    await hub.add_route("/user/a/", TARGET, {})
    await until(lambda: "does not tell of changes now" in caplog.text, "nothing is logged")
    await hub.add_route("/user/b/", TARGET, {})
    await other.add_route("/user/c/", TARGET, {})
    assert (await hub.get_all_routes()).keys() == {"/user/a/", "/user/b/", "/user/c/"}
    hub.backend.has_no_watch = False
    await until(lambda: "The store tells of changes again" in caplog.text, "its end is not logged")
    await other.delete_route("/user/c/")
    await until(lambda: "p.user.c" not in hub.control.writer.table.routes, "the change is not seen")
    assert "No route can be changed" not in caplog.text
    assert "can be used again" not in caplog.text


async def test_a_watch_that_ends_as_soon_as_it_begins_is_tried_less_and_less_often(new, caplog, monkeypatch):
    """As behind a proxy that cuts it off."""
    hub, began = new(), []
    pauses = record_pauses(monkeypatch)

    async def watch():
        began.append(True)
        yield
        raise BackendUnavailable("The watch was cut off.")

    hub.backend.watch = watch
    await hub.get_all_routes()
    await until(lambda: len(began) > 5, "it is not tried again")
    assert pauses[:5] == sorted(set(pauses[:5]))
    assert caplog.text.count("does not tell of changes now") == 1
    assert "tells of changes again" not in caplog.text


def record_pauses(monkeypatch):
    """The pauses that the guard makes between watches, which are shorter than they should be."""
    pauses = []

    async def rest(self, news=None):
        pauses.append(self.grow())
        await asyncio.sleep(0.01)

    monkeypatch.setattr(guard.Backoff, "rest", rest)
    return pauses
