"""The table in Redis: whole at every moment, whoever writes, reads, dies or runs out of memory."""

from __future__ import annotations

import asyncio
import subprocess
from uuid import uuid4

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch, LeaseHeld, LeaseLost
from tests.drivers import use_redis
from tests.hub import until

RULE = "traefik/http/routers/{}/rule"


@pytest.fixture
async def backend(open_redis, redis_server):
    return await open_redis(redis_server, prefix=f"hub-{uuid4().hex}")


async def test_foreign_keys_do_not_matter(start_redis, open_redis):
    """As many commands as in a database of our own, and none that looks for keys."""
    server = start_redis("enable-debug-command local")
    backend = await open_redis(server)
    client = server.client()
    counts = []
    for _ in range(2):
        await backend.apply(Batch({RULE.format(n): "1" for n in range(1000)}))
        client.config_resetstat()
        await backend.apply(Batch({RULE.format(n): "2" for n in range(1000)} | {"routes/a": None}))
        assert len((await backend.load()).keys) == 1000
        counts.append({name: stats["calls"] for name, stats in client.info("commandstats").items()})
        client.execute_command("DEBUG", "POPULATE", 100_000, "foreign")
    assert client.dbsize() > 100_000
    assert counts[0] == counts[1]
    assert not counts[0].keys() & {"cmdstat_scan", "cmdstat_keys"}


async def test_what_others_change_is_seen(backend, redis_server):
    keys = {RULE.format(name): f"rule {name}" for name in "abc"} | {"routes/a": "record"}
    await backend.apply(Batch(keys))
    client = redis_server.client()
    client.delete(f"{backend.root}/{RULE.format('a')}")
    client.set(f"{backend.root}/{RULE.format('b')}", "other")
    client.hset(f"{backend.root}/table", "routes/a", "changed")
    expected = {RULE.format("b"): "other", RULE.format("c"): "rule c", "routes/a": "changed"}
    assert (await backend.load()).keys == expected
    await backend.apply(Batch(keys))
    assert (await backend.load()).keys == keys


async def test_a_table_that_was_lost_in_part_is_an_error(backend, redis_server, open_redis):
    """As a Redis may do that evicts keys, or a restored backup."""
    await backend.apply(Batch({RULE.format("a"): "1", "routes/a": "1"}))
    client = redis_server.client()
    client.delete(f"{backend.root}/table")
    with pytest.raises(BackendRejected, match="has lost the key") as lost:
        await backend.load()
    with pytest.raises(BackendRejected, match="has lost the key"):
        await backend.apply(Batch({"routes/b": "1"}))
    with pytest.raises(BackendRejected, match="has lost the key"):
        await open_redis(redis_server, prefix=backend.prefix)
    advice = str(lost.value).partition("anew: ")[2].replace("redis-cli", f"redis-cli -p {redis_server.port}")
    subprocess.run(advice, shell=True, check=True, stdout=subprocess.DEVNULL)
    assert (await backend.load()).keys == {}
    assert not client.keys(f"{backend.root}/*")


async def test_a_key_that_is_not_ours_is_named(backend, redis_server):
    redis_server.client().set(f"{backend.root}/table", "other")
    for call in (backend.load(), backend.apply(Batch({RULE.format("a"): "1"}))):
        with pytest.raises(BackendRejected, match=rf"a key {backend.root}/table that is not ours"):
            await call
    assert not redis_server.client().exists(f"{backend.root}/{RULE.format('a')}")


async def test_a_table_of_another_version_is_named(backend, redis_server):
    redis_server.client().hset(f"{backend.root}/table", "/format", "2")
    with pytest.raises(BackendRejected, match="has format b'2'"):
        await backend.load()


async def test_a_value_that_is_not_text_is_an_error(backend, redis_server):
    await backend.apply(Batch({RULE.format("a"): "1"}))
    redis_server.client().set(f"{backend.root}/{RULE.format('a')}", b"\xff")
    with pytest.raises(BackendRejected, match="is not text"):
        await backend.load()


async def test_two_databases(open_redis, redis_server):
    prefix = f"hub-{uuid4().hex}"
    one, two = [await open_redis(redis_server, url=f"{redis_server.url}/{db}", prefix=prefix) for db in (3, 4)]
    await one.apply(Batch({"routes/a": "1"}))
    assert (await two.load()).keys == {}
    await two.apply(Batch({"routes/a": "2"}))
    assert (await one.load()).keys == {"routes/a": "1"}


async def test_nothing_is_left_after_remove(start_redis, open_redis):
    server = start_redis()
    await use_redis(url=server.url)
    assert server.client().keys() == []


async def test_a_lease_says_who_has_it_and_since_when(backend, redis_server, open_redis):
    other = await open_redis(redis_server, prefix=backend.prefix)
    await backend.acquire_lease("hub-1 on node-7", 600)
    with pytest.raises(
        LeaseHeld, match=r"hub-1 on node-7 \(since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\) holds the lease"
    ):
        await other.acquire_lease("hub-2", 600)
    with pytest.raises(LeaseLost, match="hub-1 on node-7"):
        await other.apply(Batch({"routes/a": "1"}))
    client = redis_server.client()
    client.delete(f"{backend.root}/lease")
    with pytest.raises(LeaseLost, match="it expired"):
        await backend.apply(Batch({"routes/a": "1"}))
    for junk in ("junk", "[]", b"\xff"):
        client.set(f"{backend.root}/lease", junk)
        with pytest.raises(LeaseHeld, match="no lease of ours"):
            await other.acquire_lease("hub-2", 600)


async def test_a_watch_tells_of_what_others_change(backend, redis_server):
    client = redis_server.client()
    await backend.apply(Batch({RULE.format("a"): "1"}))
    watch = backend.watch()
    await anext(watch)
    for change in (
        lambda: client.set(f"{backend.root}/{RULE.format('a')}", "other"),
        lambda: client.delete(f"{backend.root}/{RULE.format('a')}"),
        lambda: client.hset(f"{backend.root}/table", "routes/a", "other"),
    ):
        change()
        await asyncio.wait_for(anext(watch), 60)
    await watch.aclose()


async def test_a_watch_lasts_while_nothing_happens(start_redis, open_redis):
    """It asks now and then whether Redis is still there."""
    server = start_redis()
    backend = await open_redis(server, timeout=0.5)
    watch = backend.watch()
    await anext(watch)
    waiting = asyncio.ensure_future(anext(watch))
    asked = lambda: server.client().info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]  # noqa: E731
    before = asked()
    await until(lambda: waiting.done() or asked() >= before + 3, "it does not ask")
    assert not waiting.done()
    await backend.apply(Batch({"routes/a": "1"}))
    await waiting
    await watch.aclose()


@pytest.mark.parametrize("fault", ["killed", "frozen", "kicked out", "stopped"])
async def test_a_watch_that_may_miss_something_ends(start_redis, open_redis, fault):
    server = start_redis()
    backend = await open_redis(server, timeout=0.5)
    watch = backend.watch()
    await anext(watch)
    if fault == "killed":
        server.kill()
    elif fault == "frozen":
        server.freeze()
    elif fault == "kicked out":
        server.client().client_kill_filter(_type="pubsub")
    else:
        server.stop()
    with pytest.raises(BackendUnavailable, match="may have been missed"):
        await asyncio.wait_for(anext(watch), 60)


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ((), "keeps nothing over a restart; put this line into its redis.conf: appendonly yes"),
        (("appendonly yes",), None),
        (("save 3600 1",), None),
        (
            ("appendonly yes", "maxmemory-policy allkeys-lru"),
            "put this line into its redis.conf: maxmemory-policy noev",
        ),
    ],
)
async def test_a_redis_that_may_lose_the_table_is_warned_of(start_redis, open_redis, caplog, lines, warning):
    await open_redis(start_redis(*lines))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * bool(warning)
    assert (warning or "") in caplog.text
