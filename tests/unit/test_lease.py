"""One hub at a time writes: who waits for the lease, who loses it, and what becomes of changes under way."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy import Batch, LeaseHeld, LeaseLost
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.testing import MemoryBackend
from tests.hub import until
from tests.hubs_in_memory import LONG, PREFIX, TARGET, hold, names, revision_key


async def test_a_second_hub_waits_for_the_first_and_takes_over_its_table(hubs, caplog):
    first, second = hubs.new(), hubs.new()
    await first.add_route("/user/a/", TARGET, {})
    waiting = asyncio.create_task(second.add_route("/user/b/", TARGET, {}))
    await until(lambda: "Waiting until this hub may write" in caplog.text, "nothing is said")
    assert "The hub with process " in caplog.text
    assert " since " in caplog.text
    assert names(hubs.table) == {"user.a"}
    await first.add_route("/user/c/", TARGET, {})
    await first.stop()
    await waiting
    assert names(hubs.table) == {"user.a", "user.b", "user.c"}


async def test_a_second_hub_fails_if_told_so(hubs):
    first, second = hubs.new(lease_seconds=1), hubs.new(when_lease_held="fail", lease_seconds=1)
    await first.get_all_routes()
    with pytest.raises(LeaseHeld, match="The hub with process"):
        await second.get_all_routes()
    await first.stop()
    assert await second.get_all_routes() == {}


async def test_a_hub_that_fails_if_told_so_outlasts_the_lease_of_a_dead_one(hubs):
    dead = MemoryBackend(name=hubs.name, prefix=PREFIX)
    await dead.acquire_lease("a dead hub", 0.5)
    assert await hubs.new(when_lease_held="fail", lease_seconds=1).get_all_routes() == {}


async def test_without_a_lease_nobody_waits(hubs):
    first, second = hubs.new(lease_seconds=0), hubs.new(lease_seconds=0)
    await first.add_route("/user/a/", TARGET, {})
    await second.add_route("/user/b/", TARGET, {})
    assert (await first.get_all_routes()).keys() == {"/user/a/", "/user/b/"}
    assert hubs.table.lease is None


async def test_a_hub_without_its_lease_changes_nothing_and_then_takes_over_what_the_other_left(hubs):
    hub = hubs.new(ready_timeout=0.3, lease_seconds=1)
    await hub.add_route("/user/a/", TARGET, {})
    other = await hold(hubs)
    before = dict(hubs.table.keys)
    for call in (hub.add_route("/user/b/", TARGET, {}), hub.delete_route("/user/a/")):
        with pytest.raises((LeaseHeld, LeaseLost), match=r"given up after 0\.3 s"):
            await call
    assert hubs.table.keys == before
    hub.control.changes.timeout = LONG
    waiting = asyncio.create_task(hub.add_route("/user/b/", TARGET, {}))
    theirs = Route("/user/z/", TARGET, {})
    revision = hub.control.writer.revision.found(hub.control.writer.revision.text).next()
    await other.apply(Batch({"routes/p.user.a": None, f"routes/{theirs.name}": theirs.to_record()}))
    await other.apply(Batch({revision_key(before): revision.text.replace(revision.writer, "another")}))
    with pytest.raises(LeaseHeld, match="another hub"):
        await hub.get_all_routes()
    await other.release_lease()
    await waiting
    assert names(hubs.table) == {"user.b", "user.z"}
    assert (await hub.get_all_routes()).keys() == {"/user/b/", "/user/z/"}
    assert hub.control.writer.table.drift(hubs.table.keys) == {}


async def test_a_lease_that_ran_out_and_that_nobody_took_changes_nothing(hubs):
    """As when the hub was stopped for a minute."""
    hub = hubs.new(lease_seconds=LONG)
    await hub.add_route("/user/a/", TARGET, {})
    hubs.table.lease = None
    hub.control.lease.lost()
    hubs.table.keys.clear()
    await hub.add_route("/user/b/", TARGET, {})
    assert names(hubs.table) == {"user.a", "user.b"}


async def test_a_change_that_was_under_way_when_the_lease_was_lost_is_not_mixed_in(hubs):
    hub = hubs.new(lease_seconds=1)
    await hub.add_route("/user/a/", TARGET, {})
    hub.backend.gate.clear()
    hub.backend.arrived.clear()
    waiting = asyncio.create_task(hub.add_route("/user/b/", TARGET, {}))
    await hub.backend.arrived.wait()
    other = await hold(hubs)
    hub.backend.gate.set()
    await until(lambda: not hub.control.lease.is_held, "the loss is not noticed")
    assert names(hubs.table) == {"user.a"}
    await other.release_lease()
    await waiting
    assert names(hubs.table) == {"user.a", "user.b"}


async def test_a_hub_whose_tasks_are_cancelled_gives_up_the_lease(hubs):
    """As JupyterHub does at its end."""
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert hubs.table.lease is None
    assert await hubs.new(when_lease_held="fail").get_route("/user/a/")


async def test_a_hub_that_fails_if_told_so_outlasts_a_long_lease_of_a_dead_one(hubs):
    """Such as that of a hub whose store was slow."""
    dead = MemoryBackend(name=hubs.name, prefix=PREFIX)
    await dead.acquire_lease("a dead hub", 3)
    assert await hubs.new(when_lease_held="fail", lease_seconds=1).get_all_routes() == {}
