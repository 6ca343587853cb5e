"""A store over a network that is away, frozen, started again or emptied, seen from the hub's side of the proxy."""

from __future__ import annotations

import pytest

from jhub_kvproxy import BackendUnavailable, Batch
from tests.hub import until
from tests.site import is_served
from tests.stores import Store
from tests.stores.consul import ConsulServer
from tests.stores.etcd import EtcdServer
from tests.stores.redis import RedisServer

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
    return Store(name, ({"urls": [server.url]} if name == "etcd" else {"url": server.url}) | PATIENCE)


async def test_a_store_that_is_away_at_the_start_is_named_and_waited_for_by_nobody(site, server):
    server.kill()
    proxy = site.proxy()
    with pytest.raises(BackendUnavailable, match=server.url.rpartition(":")[2].partition("/")[0]):
        await proxy.start()
    assert not (site.directory / "run").exists()
    server.start()
    await proxy.start()
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"


@pytest.mark.parametrize("fault", ["freeze", "kill"])
async def test_routes_are_served_while_the_store_is_away_and_change_when_it_is_back(site, server, fault):
    proxy = await site.started()
    one, two = await site.server("one"), await site.server("two")
    await proxy.add_route("/user/a/", one, {"n": 1})
    getattr(server, fault)()
    try:
        for call in (
            lambda: proxy.add_route("/user/a/", two, {"n": 2}),
            lambda: proxy.add_route("/user/b/", two, {}),
            lambda: proxy.delete_route("/user/a/"),
            proxy.get_all_routes,
        ):
            with pytest.raises(BackendUnavailable):
                await call()
        assert await site.client.server("/user/a/") == "one"
    finally:
        server.thaw() if fault == "freeze" else server.start()
    await until(lambda: succeeds(proxy.get_all_routes), "the store is back, and not used")
    await proxy.add_route("/user/a/", two, {"n": 3})
    await proxy.add_route("/user/c/", one, {})
    assert await site.client.server("/user/a/") == "two"
    assert await site.client.server("/user/c/") == "one"
    await proxy.delete_route("/user/b/")
    assert (await proxy.get_all_routes()).keys() == {"/user/a/", "/user/c/"}
    assert await site.client.server("/user/b/") is None


async def succeeds(call):
    try:
        await call()
    except BackendUnavailable:
        return False
    return True


async def test_an_emptied_store_is_filled_again(site):
    proxy = await site.started()
    server = await site.server("a")
    await proxy.add_route("/user/a/", server, {})
    intruder = site.proxy()._backend
    await intruder.open()
    keys = (await intruder.load()).keys
    await intruder.apply(Batch(dict.fromkeys(keys)))
    await intruder.close()
    assert await proxy.get_all_routes() == {}
    await proxy.add_route("/user/a/", server, {})
    await until(lambda: is_served(site, "/user/a/"), "the route is not served again")
    assert list(await proxy.get_all_routes()) == ["/user/a/"]
