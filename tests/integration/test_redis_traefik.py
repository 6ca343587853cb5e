"""Traefik hears of changes in Redis, and of each batch once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from jhub_kvproxy import BackendUnavailable, Batch
from jhub_kvproxy_backends.redis import RedisBackend
from tests.hub import until
from tests.site import is_served
from tests.stores import Store
from tests.stores.redis import starting

MANY = {
    f"{element}/{n}/{end}": str(n)
    for n in range(200)
    for element, end in (("traefik/http/routers", "rule"), ("traefik/http/routers", "service"), ("routes", "x"))
}
NO_CONFIG = "user hub on nopass ~* &* +@all -config"


@pytest.fixture
def start(tmp_path):
    with starting(tmp_path) as start:
        yield start


@pytest.fixture
async def make():
    """Makes opened backends that are closed with the test."""
    backends = []

    async def make(server, **traits):
        backends.append(RedisBackend(url=server.url, prefix="hub", **traits))
        await backends[-1].open()
        return backends[-1]

    yield make
    for backend in backends:
        await backend.close()


def option(server):
    return set(server.client().config_get("notify-keyspace-events")["notify-keyspace-events"])


class Listener:
    """Hears of changes as Traefik does (github.com/kvtools/redis, WatchTree), or of those that `pattern` says."""

    def __init__(self, server, pattern="__keyspace*:hub/traefik*"):
        self._pubsub = server.client().pubsub()
        self._pubsub.psubscribe(pattern)
        self.heard()

    def heard(self):
        """What it has heard of since it was asked last: each key, and what was done to it."""
        self._pubsub.ping()
        heard = []
        while (message := self._pubsub.get_message(timeout=None))["type"] != "pong":
            if message["type"] == "pmessage":
                heard.append((message["channel"].partition(":")[2], message["data"]))
        return heard


@pytest.mark.parametrize("before", ["KEA", "Kh", "K$gh", "Kx", ""])
@pytest.mark.parametrize("allowed", [True, False], ids=["CONFIG is allowed", "CONFIG is forbidden"])
async def test_each_batch_is_heard_of_once(start, make, before, allowed):
    server = start(f'notify-keyspace-events "{before}"', NO_CONFIG)
    backend = await make(server, username="" if allowed else "hub", password="" if allowed else "x")
    set_before = option(server)
    listener = Listener(server)
    for changes in (MANY, dict.fromkeys(MANY, "changed"), dict.fromkeys(MANY), {"traefik/http/routers/a/rule": "1"}):
        await backend.apply(Batch(changes))
        heard = listener.heard()
        if allowed or before == "Kh":
            assert heard == [("hub/traefik-changes", "hset")]
        elif "h" in before or "A" in before:
            assert heard[-1] == ("hub/traefik-changes", "hset")
            assert len(heard) > len(changes) // 2
        else:
            assert heard == []
    await backend.apply(Batch({"routes/a": "1"}))
    assert listener.heard() == []
    assert option(server) == set_before
    assert set_before == set(before) | (set("Kh") if allowed and "A" not in before else set())


async def test_nobody_else_misses_anything(start, make):
    """While batches are written, somebody else changes keys of its own, and hears of each."""
    server = start("notify-keyspace-events KEA")
    backend = await make(server)
    listener = Listener(server, "__keyspace*:other")
    client, is_done, count = server.client(), threading.Event(), 0

    def change():
        nonlocal count
        while not is_done.is_set():
            client.incr("other")
            count += 1

    changing = threading.Thread(target=change)
    changing.start()
    for number in range(30):
        await backend.apply(Batch(dict.fromkeys(MANY, str(number))))
    is_done.set()
    changing.join()
    assert count > 30
    assert listener.heard() == [("other", "incrby")] * count


NOISY = "tells Traefik of each single key"
UNKNOWN = "does not let us find out whether it tells Traefik of changes"
SET_NOW = "It is set now, until Redis starts again. Put this line into its redis.conf: notify-keyspace-events "
NOT_SET = "New routes will not be served. Put this line into its redis.conf: notify-keyspace-events "


@pytest.mark.parametrize(
    ("rights", "before", "level", "words"),
    [
        ("+@all", "KEA", None, None),
        ("+@all", "Kh", None, None),
        ("+@all", "", "ERROR", SET_NOW + "Kh"),
        ("+@all", "Ex", "ERROR", SET_NOW + "xEKh"),
        ("+@all -config|set", "Kh", None, None),
        ("+@all -config|set", "KEA", "WARNING", NOISY),
        ("+@all -config|set", "E$", "ERROR", NOT_SET + "$EKh"),
        ("+@all -config", "Kh", None, None),
        ("+@all -config", "KEA", "WARNING", NOISY),
        ("+@all -config", "Kg", "ERROR", NOT_SET),
        ("+@all -config", "", "ERROR", NOT_SET + "Kh"),
        ("+@all -config resetchannels", "Kh", "WARNING", UNKNOWN),
    ],
)
async def test_what_is_said_of_the_option(start, make, caplog, rights, before, level, words):
    server = start(f'notify-keyspace-events "{before}"', "appendonly yes", f"user hub on nopass ~* &* {rights}")
    backend = await make(server, username="hub", password="x")
    for _ in range(2):
        await backend.apply(Batch(MANY))
        await backend.load()
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [name for name, _ in said] == ([level] if level else [])
    assert (words or "") in caplog.text


async def test_an_option_that_others_change_is_put_right(start, make, caplog):
    server = start("notify-keyspace-events Kh", "appendonly yes")
    backend = await make(server)
    listener = Listener(server)
    for value, expected in (("", "Kh"), ("KEA", "KEA"), ("E", "EKh")):
        server.client().config_set("notify-keyspace-events", value)
        await backend.apply(Batch(MANY))
        assert listener.heard() == [("hub/traefik-changes", "hset")]
        assert option(server) == set(expected)
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2


async def test_a_redis_that_is_started_again_while_traefik_runs(start, site, caplog):
    """It has forgotten the option, which Traefik sets only when it starts."""
    server = start("appendonly yes")
    site.store = Store("redis", {"url": server.url})
    proxy = await site.started()
    url = await site.server("a")
    await proxy.add_route("/user/a/", url, {})
    for number in range(2):
        server.stop()
        assert await site.client.server("/user/a/") == "a"
        server.start()
        assert option(server) == set()
        caplog.clear()
        await proxy.add_route(f"/user/{number}/", url, {})
        assert await site.client.server(f"/user/{number}/") == "a"
        assert "Put this line into its redis.conf" in caplog.text


async def test_a_redis_that_is_emptied_while_traefik_runs(start, site):
    server = start()
    site.store = Store("redis", {"url": server.url})
    proxy = await site.started()
    url = await site.server("a")
    await proxy.add_route("/user/a/", url, {})
    server.client().flushall()
    assert await proxy.get_all_routes() == {}
    await until(lambda: is_gone(site, "/user/a/"), "a route is served that is in no table")
    await proxy.add_route("/user/a/", url, {"n": 2})
    assert await site.client.server("/user/a/") == "a"


async def is_gone(site, path):
    return not await is_served(site, path)


async def test_a_frozen_redis_while_traefik_runs(start, site):
    server = start()
    site.store = Store("redis", {"url": server.url, "timeout": 1.0})
    proxy = await site.started()
    url = await site.server("a")
    await proxy.add_route("/user/a/", url, {})
    server.freeze()
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            await proxy.add_route("/user/b/", url, {})
        assert await site.client.server("/user/a/") == "a"
    server.thaw()
    await proxy.add_route("/user/c/", url, {})
    assert await site.client.server("/user/c/") == "a"


async def test_a_redis_that_is_down_when_the_hub_starts(start, site):
    server = start()
    server.stop()
    site.store = Store("redis", {"url": server.url, "timeout": 0.5})
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        await site.started()
    site.store = Store("redis", {"url": server.url})
    starting = asyncio.create_task(site.started())
    await asyncio.sleep(0)
    server.start()
    proxy = await starting
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"
