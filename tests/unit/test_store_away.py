"""A hub whose store is away or refuses, or that ends meanwhile: nothing is half-made, and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable
from tests.hub import until
from tests.hubs_in_memory import LONG, TARGET, is_quiet, names


@pytest.mark.parametrize("makes_changes", [False, True])
async def test_a_store_that_is_away_is_waited_for_and_nothing_is_half_made(hubs, makes_changes):
    hub = hubs.new(ready_timeout=0.3, lease_seconds=0.3)
    await hub.add_route("/user/a/", TARGET, {})
    hub.backend.is_away, hub.backend.makes_changes = True, makes_changes
    calls = (
        hub.add_route("/user/b/", TARGET, {}),
        hub.add_route("/user/a/", TARGET, {"n": 2}),
        hub.delete_route("/user/a/"),
        hub.delete_route("/user/a/"),
    )
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, BackendUnavailable)
    with pytest.raises(BackendUnavailable):
        await hub.get_all_routes()
    hub.control.changes.timeout = LONG
    waiting = asyncio.create_task(hub.add_route("/user/c/", TARGET, {}))
    hub.backend.is_away = False
    await waiting
    assert names(hubs.table) == {"user.a", "user.c"}
    assert (await hub.get_all_routes())["/user/a/"]["data"] == {}
    assert hub.control.writer.table.drift(hubs.table.keys) == {}


async def test_a_call_is_given_up_while_its_change_is_under_way(hubs):
    hub = hubs.new(ready_timeout=0.2)
    await hub.add_route("/user/a/", TARGET, {"n": 1})
    hub.backend.gate.clear()
    calls = (hub.add_route("/user/a/", TARGET, {"n": 2}), hub.add_route("/user/b/", TARGET, {}))
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, BackendUnavailable)
        assert "has not taken the change yet" in str(error)
    hub.backend.gate.set()
    await until(lambda: names(hubs.table) == {"user.a"} and not hub.control.writer._committing, "it is not taken back")
    assert (await hub.get_route("/user/a/"))["data"] == {"n": 1}


async def test_what_does_not_pass_is_said_at_once(hubs):
    hub = hubs.new(ready_timeout=LONG)
    await hub.add_route("/user/a/", TARGET, {})
    hub.backend.error, hub.backend.is_away = BackendRejected, True
    with pytest.raises(BackendRejected, match="away"):
        await hub.add_route("/user/b/", TARGET, {})
    hub.backend.is_away = False
    await hub.add_route("/user/c/", TARGET, {})
    assert names(hubs.table) == {"user.a", "user.c"}


async def test_a_hub_that_ends_lets_go_of_those_who_wait(hubs):
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    hub.backend.is_away = True
    waiting = asyncio.create_task(hub.add_route("/user/b/", TARGET, {}))
    await until(lambda: hub.control.writer._trouble, "it is not tried")
    await hub.stop()
    with pytest.raises(BackendUnavailable):
        await waiting


async def test_a_driver_that_swallows_a_cancellation_holds_up_nobody(hubs):
    """As wait_for() of Python 3.11 does, when what it waits for ends just then."""
    hub = hubs.new()
    swallowed = []

    async def watch():
        yield
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(True)
        await asyncio.Event().wait()

    hub.backend.watch = watch
    await hub.add_route("/user/a/", TARGET, {})
    await until(lambda: is_quiet(hub), "it has no rest")
    await hub.stop()
    assert swallowed


async def test_the_store_is_lost_before_a_route_is_confirmed(hubs):
    """A route whose second commit, which Traefik needs (lists_at_once), cannot be made."""
    hub = hubs.new(ready_timeout=0.3, delivery="store")
    hub.backend.lists_at_once = False
    await hub.get_all_routes()
    apply, batches = hub.backend.apply, []

    async def once(batch):
        batches.append(batch)
        hub.backend.is_away = len(batches) > 1
        await apply(batch)

    hub.backend.apply = once
    with pytest.raises(BackendUnavailable):
        await hub.add_route("/user/a/", TARGET, {})
    hub.backend.apply, hub.backend.is_away = apply, False
    await until(lambda: names(hubs.table) == set(), "the route is not taken back")
    assert await hub.get_all_routes() == {}
