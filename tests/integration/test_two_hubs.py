"""Hubs that are killed, paused or started twice, on each of our stores."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy import LeaseHeld
from tests.child import child
from tests.hub import until
from tests.stores import on_every_store

TARGET = "http://127.0.0.1:1"
#: For as long as this a hub that was killed keeps others out.
LEASE = 1.0

pytestmark = on_every_store


async def is_whole(proxy):
    """Whether the store holds what follows from the routes, and nothing else."""
    stored = (await proxy.backend.load()).keys
    return not proxy.control.writer.table.drift(stored)


async def test_a_hub_killed_while_it_adds_500_routes_is_started_again_and_finishes(site):
    server = await site.server("a")
    names = [f"/user/u{number}/" for number in range(500)]
    added = []
    async with child(site, lease_seconds=LEASE) as first:
        await first.call("start")

        async def add(name):
            await first.call("add_route", name, server, {"name": name})
            added.append(name)

        calls = [asyncio.create_task(add(name)) for name in names[:50]]
        await asyncio.gather(*calls)
        calls = [asyncio.create_task(add(name)) for name in names[50:]]
        await until(lambda: len(added) > 50 or site.store.name == "toml", "nothing is added")
        await first.kill()
        await asyncio.wait(calls)
        for name in added:
            assert await site.client.server(name) == "a", "Traefik goes on without the hub"

        second = await site.started(lease_seconds=LEASE)
        routes = await second.get_all_routes()
        assert routes.keys() >= set(added)
        assert await is_whole(second)
        for name in routes:
            assert await site.client.server(name) == "a"
        await asyncio.gather(*(second.add_route(name, server, {"name": name}) for name in names))
        assert (await second.get_all_routes()).keys() == set(names)
        for name in names:
            assert await site.client.server(name) == "a"
        assert second.control.local.supervisors[0].is_adopted
        await second.stop()


async def test_a_hub_that_was_paused_past_its_lease_cannot_write_until_it_has_it_again(site, caplog):
    async with child(site, lease_seconds=LEASE, ready_timeout=1) as first:
        await first.call("add_route", "/user/a/", TARGET, {})
        first.pause()
        second = site.proxy(lease_seconds=LEASE)
        assert list(await second.get_all_routes()) == ["/user/a/"]
        await second.add_route("/user/b/", TARGET, {})
        await second.delete_route("/user/a/")
        first.go_on()
        for call in (("add_route", "/user/c/", TARGET, {}), ("delete_route", "/user/b/"), ("get_all_routes",)):
            with pytest.raises(RuntimeError, match=r"^Lease(Held|Lost): "):
                await first.call(*call)
        assert list(await second.get_all_routes()) == ["/user/b/"]
        await second.add_route("/user/d/", TARGET, {})
        assert await is_whole(second)
        await second.stop()

        async def has_it_again():
            try:
                await first.call("add_route", "/user/c/", TARGET, {})
            except RuntimeError:
                return False
            return True

        await until(has_it_again, "the first hub does not get its lease back")
        assert (await first.call("get_all_routes")).keys() == {"/user/b/", "/user/c/", "/user/d/"}


async def test_a_second_hub_waits_or_fails_and_says_who_has_the_lease(site, caplog):
    first = site.proxy(lease_seconds=LEASE)
    await first.add_route("/user/a/", TARGET, {})
    with pytest.raises(LeaseHeld, match=r"The hub with process \d+ on "):
        await site.proxy(lease_seconds=LEASE, when_lease_held="fail").get_all_routes()
    second = site.proxy(lease_seconds=LEASE)
    taking_over = asyncio.create_task(second.add_route("/user/b/", TARGET, {}))
    await until(lambda: "Waiting until this hub may write" in caplog.text, "nothing is said")
    said = caplog.text.partition("Waiting until this hub may write")[2].partition("\n")[0]
    assert "The hub with process" in said
    assert "since 20" in said
    assert not taking_over.done()
    await first.add_route("/user/c/", TARGET, {})
    await first.stop()
    await taking_over
    assert (await second.get_all_routes()).keys() == {"/user/a/", "/user/b/", "/user/c/"}
