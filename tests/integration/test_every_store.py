"""What JupyterHub asks of the table, on each of our stores."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings

from jhub_kvproxy import Batch, RouteNotReady
from jhub_kvproxy.routing import routes
from jhub_kvproxy.routing.records import TRAEFIK_REVISION
from jhub_kvproxy.traefik_routers.rules import spread
from tests.hub import until
from tests.site import Site, count_commits, is_served
from tests.stores import on_every_store
from tests.strategies import data

TARGET = "http://127.0.0.1:1"

pytestmark = on_every_store


async def test_what_goes_in_comes_out(site):
    """Every JSON value as data, and the routespec byte for byte."""
    proxy = await site.started()
    loop = asyncio.get_running_loop()

    @settings(max_examples=60)
    @given(data)
    def for_all(value):
        async def check():
            await proxy.add_route("/user/has%40%C3%A9/", TARGET, value)
            wanted = {"routespec": "/user/has%40%C3%A9/", "target": TARGET, "data": value}
            assert repr(await proxy.get_route("/user/has%40%C3%A9")) == repr(wanted)
            assert repr(await proxy.get_all_routes()) == repr({"/user/has%40%C3%A9/": wanted})

        asyncio.run_coroutine_threadsafe(check(), loop).result()

    await asyncio.to_thread(for_all)
    nested = {"": {"a/b": [None, {}, [], {"0": [True, 1, 1.5, "1"]}]}, "list": list(range(20))}
    await proxy.add_route("/x/", TARGET, nested)
    (await proxy.get_route("/x/"))["data"]["list"].clear()
    assert (await proxy.get_all_routes())["/x/"]["data"] == nested


async def test_a_route_that_is_absent_is_none_and_its_deletion_succeeds(site):
    proxy = await site.started()
    assert await proxy.get_route("/absent/") is None
    await proxy.delete_route("/absent/")
    assert await proxy.get_all_routes() == {}


async def test_another_spelling_is_the_same_route(site):
    proxy = await site.started()
    await proxy.add_route("/user/a/", TARGET, {})
    await proxy.add_route("/user/%61/", TARGET, {"n": 2})
    assert list(await proxy.get_all_routes()) == ["/user/%61/"]
    await proxy.delete_route("/user/a/")
    assert await proxy.get_all_routes() == {}


async def test_concurrent_calls_share_commits(site, monkeypatch):
    proxy = await site.started()
    batches = await count_commits(proxy, monkeypatch)
    server = await site.server("a")
    full_batches = 200 * 9 // (proxy.backend.max_txn_ops or 10**6)
    await asyncio.gather(*(proxy.add_route(f"/user/u{number}/", server, {}) for number in range(200)))
    assert len(batches) <= 5 + full_batches
    for number in range(200):
        assert await site.client.server(f"/user/u{number}/") == "a"
    await asyncio.gather(*(proxy.delete_route(f"/user/u{number}/") for number in range(200)))
    assert len(batches) <= 10 + 2 * full_batches
    assert await site.client.server("/user/u7/") is None


async def test_the_last_call_for_a_route_wins(site):
    proxy = await site.started()
    servers = [await site.server(str(number)) for number in range(4)]
    for last in (0, 1, 2, 3, None):
        calls = [proxy.add_route("/user/a/", server, {}) for server in servers]
        calls.append(proxy.delete_route("/user/a/"))
        if last is not None:
            calls.append(proxy.add_route("/user/a/", servers[last], {}))
        await asyncio.gather(*calls)
        assert await site.client.server("/user/a/") == (None if last is None else str(last))


async def test_what_is_there_already_is_not_written_again(site, monkeypatch):
    proxy = await site.started()
    await proxy.add_route("/extra/", TARGET, {"extra": True})
    batches = await count_commits(proxy, monkeypatch)
    await proxy.add_route("/extra/", TARGET, {"extra": True})
    await proxy.delete_route("/absent/")
    await proxy.get_all_routes()
    assert batches == []


async def test_a_table_found_at_start_is_served_and_not_rewritten(site, monkeypatch):
    first = await site.started()
    await first.add_route("/user/a/", await site.server("a"), {"user": "a"})
    before = await first.backend.load()
    await first.stop()
    second = site.proxy()
    batches = await count_commits(second, monkeypatch)
    await second.start()
    assert await site.client.server("/user/a/") == "a"
    assert (await second.get_all_routes())["/user/a/"]["data"] == {"user": "a"}
    assert batches == []
    assert await second.backend.load() == before


async def test_routes_may_change_before_and_while_it_starts(site):
    proxy = site.proxy()
    await proxy.delete_route("/user/absent/")
    server = await site.server("a")
    await proxy.add_route("/user/early/", server, {})
    starting = asyncio.create_task(proxy.start())
    await asyncio.gather(
        proxy.delete_route("/user/early/"), *(proxy.add_route(f"/user/u{n}/", server, {}) for n in range(20)), starting
    )
    assert await site.client.server("/user/early/") is None
    for number in range(20):
        assert await site.client.server(f"/user/u{number}/") == "a"


async def test_what_others_change_is_changed_back(site):
    proxy = await site.started()
    server = await site.server("a")
    for name in "abc":
        await proxy.add_route(f"/user/{name}/", server, {"user": name})
    other = site.proxy().backend
    await other.open()
    keys = (await other.load()).keys
    await other.apply(Batch({key: None for key in keys if "p.user.a" in key}))
    # half of b, and nonsense for c
    await other.apply(Batch({f"traefik/http/routers/{spread('p.user.b')}/rule": None, "routes/p.user.c": "{"}))

    async def is_repaired():
        stored = (await other.load()).keys
        return {**stored, TRAEFIK_REVISION: ""} == {**keys, TRAEFIK_REVISION: ""}

    await until(is_repaired, "the store is not repaired")
    for name in "abc":
        await until(lambda name=name: is_served(site, f"/user/{name}/"), "the lost route is not served again")
    assert list(await proxy.get_all_routes()) == [f"/user/{name}/" for name in "abc"]
    await other.close()


async def test_prefixes_are_separate(site):
    proxies = [site.proxy(prefix=prefix) for prefix in ("hub", "hub2", "hub/", "hub/traefik", "..", "*", "h?b")]
    for number, proxy in enumerate(proxies):
        await proxy.add_route(f"/{number}/", TARGET, {})
    for number, proxy in enumerate(proxies):
        assert list(await proxy.get_all_routes()) == [f"/{number}/"]
    for number, proxy in enumerate(proxies):
        await proxy.delete_route(f"/{number}/")
        left = [await other.get_all_routes() for other in proxies]
        assert left.count({}) == number + 1


async def test_two_hubs_in_one_process(tmp_path, site):
    """Two proxies, two Traefiks, one store, one prefix the beginning of the other: each has its own routes."""
    other_site = Site(tmp_path, site.store, site._stack)
    one = await site.started(runtime_dir=str(tmp_path / "one"))
    two = await other_site.started(prefix="2", runtime_dir=str(tmp_path / "two"))
    a, b = await site.server("a"), await site.server("b")
    await asyncio.gather(
        *(one.add_route(f"/user/{n}/", a, {}) for n in range(20)),
        *(two.add_route(f"/user/{n}/", b, {}) for n in range(20)),
    )
    for number in range(20):
        assert await site.client.server(f"/user/{number}/") == "a"
        assert await other_site.client.server(f"/user/{number}/") == "b"
    await other_site.client.close()


async def test_a_router_that_traefik_refuses_is_named_and_taken_back(site, monkeypatch):
    """Fake: a target that we take, and Traefik does not. We know of none."""
    proxy = await site.started()
    server = await site.server("a")
    refused = "http://%zz:1"
    monkeypatch.setattr(routes, "_check_target", lambda *_: None)
    with pytest.raises(RouteNotReady, match=rf"p\.user\.a@{proxy.backend.provider}: .*%zz"):
        await proxy.add_route("/user/a/", refused, {})
    assert await proxy.get_all_routes() == {}
    await proxy.add_route("/user/a/", server, {})
    with pytest.raises(RouteNotReady):
        await proxy.add_route("/user/a/", refused, {"n": 2})
    assert (await proxy.get_route("/user/a/"))["target"] == server
    await until(lambda: is_served(site, "/user/a/"), "the route was not put back")
    await proxy.add_route("/user/b/", server, {})
    assert await site.client.server("/user/b/") == "a"
