"""A store over a network that is away, frozen, started again or emptied, seen from the hub's side of the proxy."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy import BackendUnavailable
from servers.consul import ConsulServer
from servers.etcd import EtcdServer
from servers.redis import RedisServer
from tests.hub import until
from tests.site import is_served
from tests.stores import Store

SERVERS = {"etcd": EtcdServer, "consul": ConsulServer, "redis": RedisServer}
PATIENCE = {"timeout": 2.0}


@pytest.fixture(params=SERVERS)
def server(request, tmp_path):
    """A server that is this test's own, to be done with as it likes."""
    (tmp_path / "server").mkdir()
    with SERVERS[request.param](tmp_path / "server") as server:
        yield server


@pytest.fixture
def store(request, server):
    name = request.node.callspec.params["server"]
    return Store(name, server.traits | PATIENCE)


async def test_a_store_that_is_away_at_the_start_is_named_and_waited_for(site, server, caplog):
    server.kill()
    port = server.url.rpartition(":")[2].partition("/")[0]
    proxy = site.proxy(store_timeout=0)
    with pytest.raises(BackendUnavailable, match=port):
        await proxy.start()
    assert not (site.directory / "run").exists()
    proxy = site.proxy(store_timeout=60)
    starting = asyncio.create_task(proxy.start())
    await until(lambda: "Waiting for the store" in caplog.text, "nothing is said")
    assert port in caplog.text
    server.start()
    await starting
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"


@pytest.mark.parametrize("fault", ["freeze", "kill"])
async def test_routes_are_served_while_the_store_is_away_and_change_when_it_is_back(site, server, fault):
    proxy = await site.started(ready_timeout=1, lease_seconds=1)
    one, two = await site.server("one"), await site.server("two")
    await proxy.add_route("/user/a/", one, {"n": 1})
    getattr(server, fault)()
    try:
        calls = (
            proxy.add_route("/user/a/", two, {"n": 2}),
            proxy.add_route("/user/b/", two, {}),
            proxy.delete_route("/user/a/"),
        )
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, BackendUnavailable)
        with pytest.raises(BackendUnavailable):
            await proxy.get_all_routes()
        assert await site.client.server("/user/a/") == "one"
        proxy.control.changes.timeout = 60
        waiting = asyncio.create_task(proxy.add_route("/user/c/", one, {}))
    finally:
        server.thaw() if fault == "freeze" else server.start()
    await waiting
    assert await site.client.server("/user/c/") == "one"
    assert (await proxy.get_all_routes()).keys() == {"/user/a/", "/user/c/"}
    # The killed Consul and Redis have come back empty.
    await until(lambda: is_served(site, "/user/a/"), "the route from before is not served")
    assert (await proxy.get_route("/user/a/"))["data"] == {"n": 1}
    await proxy.add_route("/user/a/", two, {"n": 3})
    assert await site.client.server("/user/a/") == "two"
    assert await site.client.server("/user/b/") is None


def empty(server, root):
    """Remove all that the hub has there, its lease too."""
    if isinstance(server, RedisServer):
        client = server.client()
        client.flushall()
        client.close()
    else:
        server.delete(f"{root}/")


async def test_an_emptied_store_is_filled_again_by_itself(site, server, caplog):
    proxy = await site.started()
    url = await site.server("a")
    await asyncio.gather(*(proxy.add_route(f"/user/{number}/", url, {"n": number}) for number in range(100)))
    routes, before = await proxy.get_all_routes(), (await proxy.backend.load()).keys
    empty(server, proxy.backend.root)

    async def is_filled():
        return (await proxy.backend.load()).keys.keys() == before.keys()

    await until(is_filled, "the store is not filled again")
    for number in range(100):
        await until(lambda number=number: is_served(site, f"/user/{number}/"), "a route is not served again")
    assert await proxy.get_all_routes() == routes
    assert "puts back 100 routes (p.user." in caplog.text
    await proxy.add_route("/user/more/", url, {})
    assert await site.client.server("/user/more/") == "a"
