"""Traefik hears of changes in Redis, and of each batch once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from jhub_kvproxy import BackendUnavailable, Batch
from tests.hub import until
from tests.stores import Store

MANY = {
    f"{element}/{n}/{end}": str(n)
    for n in range(200)
    for element, end in (("traefik/http/routers", "rule"), ("traefik/http/routers", "service"), ("routes", "x"))
}
NO_CONFIG = "user hub on nopass ~* &* +@all -config"


def option(server):
    return set(server.client().config_get("notify-keyspace-events")["notify-keyspace-events"])


class Listener:
    """Hears of changes as Traefik does (github.com/kvtools/redis, WatchTree), or of those that `pattern` says."""

    def __init__(self, server, pattern="__keyspace*:hub/traefik*"):
        self._pubsub = server.client().pubsub()
        self._pubsub.psubscribe(pattern)
        self.heard()

    def heard(self):
        """What it has heard since it was asked last: each key, and what was done to it."""
        self._pubsub.ping()
        heard = []
        while (message := self._pubsub.get_message(timeout=None))["type"] != "pong":
            if message["type"] == "pmessage":
                heard.append((message["channel"].partition(":")[2], message["data"]))
        return heard


ONCE = [("hub/traefik", "changed")]


@pytest.mark.parametrize("before", ["KEA", "K$g", "E$", "Kx", ""])
@pytest.mark.parametrize("allowed", [True, False], ids=["CONFIG is allowed", "CONFIG is forbidden"])
async def test_traefik_hears_of_each_batch_once(start_redis, open_redis, before, allowed):
    server = start_redis(f'notify-keyspace-events "{before}"', NO_CONFIG)
    backend = await open_redis(server, username="" if allowed else "hub", password="" if allowed else "x")
    listener = Listener(server)
    for changes in (MANY, dict.fromkeys(MANY, "changed"), dict.fromkeys(MANY), {"traefik/http/routers/a/rule": "1"}):
        await backend.apply(Batch(changes))
        heard = listener.heard()
        if allowed or before not in ("KEA", "K$g"):
            assert heard == ONCE
        else:  # the option is what others need, and cannot be helped
            assert heard[-1:] == ONCE
            assert len(heard) > len(changes) // 2
    await backend.apply(Batch({"routes/a": "1"}))
    await backend.load()
    assert listener.heard() == []
    assert option(server) == set(before)


async def test_nobody_else_misses_anything(start_redis, open_redis):
    """While batches are written, somebody else changes keys of its own, and hears of each."""
    server = start_redis("notify-keyspace-events KEA")
    backend = await open_redis(server)
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


@pytest.mark.parametrize(
    ("rights", "before", "is_said"),
    [
        ("+@all", "KEA", False),
        ("+@all", "", False),
        ("+@all -config|set", "KEA", True),
        ("+@all -config|set", "K$", True),
        ("+@all -config|set", "Khx", False),
        ("+@all -config|set", "E$", False),
        ("+@all -config", "KEA", True),
        ("+@all -config", "Kg", True),
        ("+@all -config", "Khx", False),
        ("+@all -config", "", False),
    ],
)
async def test_what_costs_cpu_is_said_once(start_redis, open_redis, caplog, rights, before, is_said):
    server = start_redis(f'notify-keyspace-events "{before}"', "appendonly yes", f"user hub on nopass ~* &* {rights}")
    backend = await open_redis(server, username="hub", password="x")
    for _ in range(2):
        await backend.apply(Batch(MANY))
        await backend.load()
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == is_said
    assert all("tells Traefik of each single key that changes" in words for words in said)


async def test_rights_and_the_option_may_change_at_any_time(start_redis, open_redis, caplog):
    server = start_redis("appendonly yes", "user hub on nopass ~* &* +@all")
    backend = await open_redis(server, username="hub", password="x")
    listener, client = Listener(server), server.client()
    await backend.apply(Batch(MANY))
    assert listener.heard() == ONCE
    client.config_set("notify-keyspace-events", "KEA")
    await backend.apply(Batch(MANY))
    assert listener.heard() == ONCE
    for rights in ("-config|set", "-config|get"):
        client.execute_command("ACL", "SETUSER", "hub", rights)
        await backend.apply(Batch(MANY))
        assert len(listener.heard()) > 1
    assert option(server) == set("KEA")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("login", [{}, {"username": "hub", "password": "x"}], ids=["CONFIG is allowed", "forbidden"])
async def test_a_redis_that_is_started_again_while_traefik_runs(start_redis, site, login):
    """It has forgotten the option, which Traefik sets only when it starts, and only if it may."""
    server = start_redis("appendonly yes", NO_CONFIG)
    site.store = Store("redis", {"url": server.url, **login})
    proxy = await site.started()
    url = await site.server("a")
    await proxy.add_route("/user/a/", url, {})
    assert option(server) == (set() if login else set("KEA"))
    for number in range(2):
        server.stop()
        assert await site.client.server("/user/a/") == "a"
        server.start()
        assert option(server) == set()
        await proxy.add_route(f"/user/{number}/", url, {})
        assert await site.client.server(f"/user/{number}/") == "a"


async def test_a_redis_that_is_emptied_while_traefik_runs(start_redis, site):
    server = start_redis()
    site.store = Store("redis", {"url": server.url})
    proxy = await site.started()
    url = await site.server("a")
    await proxy.add_route("/user/a/", url, {})
    client = server.client()
    client.flushall()
    await until(lambda: client.keys("*"), "the table is not put back")
    assert list(await proxy.get_all_routes()) == ["/user/a/"]
    await proxy.add_route("/user/b/", url, {})
    assert await site.client.server("/user/a/") == await site.client.server("/user/b/") == "a"


async def test_a_frozen_redis_while_traefik_runs(start_redis, site):
    server = start_redis()
    site.store = Store("redis", {"url": server.url, "timeout": 1.0})
    proxy = await site.started(ready_timeout=2)
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


async def test_a_redis_that_is_down_when_the_hub_starts(start_redis, site):
    server = start_redis()
    server.stop()
    site.store = Store("redis", {"url": server.url, "timeout": 0.5})
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        await site.started(store_timeout=1)
    site.store = Store("redis", {"url": server.url})
    starting = asyncio.create_task(site.started())
    await asyncio.sleep(0)
    server.start()
    proxy = await starting
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"
