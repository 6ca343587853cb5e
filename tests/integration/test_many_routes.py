"""Many routes, on a real Traefik: the tree grows, shrinks, takes over from the flat one, and misleads nobody."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.hub import until
from tests.site import count_commits, leave
from tests.stores import on_every_store
from tests.visitors import NAMES, routespec, visitors


@on_every_store
async def test_the_tree_grows_and_shrinks_under_requests(site):
    proxy = await site.started()
    one, two, hub = [await site.server(name) for name in ("one", "two", "hub")]
    await proxy.add_route("/", hub, {})
    served = {}
    async with visitors(site, served, "hub"):
        for number, name in enumerate(NAMES):
            await proxy.add_route(routespec(name), (one, two)[number % 2], {})
            served[name] = ("one", "two")[number % 2]
        for name in NAMES[::2]:
            del served[name]
            await proxy.delete_route(routespec(name))
    for name in NAMES:
        assert await site.client.server(routespec(name)) == served.get(name, "hub")


@on_every_store
@pytest.mark.parametrize("routings", [("flat", "tree"), ("tree", "flat")], ids="-to-".join)
async def test_another_routing_takes_over_without_a_wrong_answer(site, routings):
    old, new = routings
    first = await site.started(routing=old)
    one, hub = await site.server("one"), await site.server("hub")
    await first.add_route("/", hub, {})
    await asyncio.gather(*(first.add_route(routespec(name), one, {"n": 1}) for name in NAMES))
    await leave(first)
    async with visitors(site, dict.fromkeys(NAMES, "one"), "hub"):
        second = await site.started(routing=new)
        assert len(await second.get_all_routes()) == len(NAMES) + 1
        await second.add_route("/user/more/", one, {})
    assert second.control.local.supervisors[0]._pid == first.control.local.supervisors[0]._pid
    fresh = type(second.control.writer.table)(
        second.control.writer.table.routing, second.control.writer.table.routes.values()
    )
    stored = (await second.backend.load()).keys
    assert {key: value for key, value in stored.items() if "revision" not in key} == fresh.keys


async def test_commits_wait_until_traefik_is_done_with_the_last(site, monkeypatch):
    proxy = await site.started()
    server = await site.server("a")
    batches = await count_commits(proxy, monkeypatch)
    os.kill(proxy.control.local.supervisors[0]._pid, signal.SIGSTOP)
    try:
        calls = [asyncio.create_task(proxy.add_route("/user/first/", server, {}))]
        await until(lambda: batches, "the first change did not go out at once")
        for number in range(30):
            calls.append(asyncio.create_task(proxy.add_route(f"/user/{number}/", server, {})))
            await asyncio.sleep(0.01)
        assert len(batches) == 1
    finally:
        os.kill(proxy.control.local.supervisors[0]._pid, signal.SIGCONT)
    await asyncio.gather(*calls)
    assert len(batches) == 2
    assert await site.client.server("/user/29/") == "a"
