"""A Redis that refuses, breaks off, freezes, dies or forgets: nothing is half-made, and nothing is made twice."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch
from jhub_kvproxy.testing import Line, in_time
from tests.hub import until

RULE = "traefik/http/routers/{}/rule"


BEFORE = {RULE.format(n): "before" for n in range(20)} | {"routes/a": "before"}
AFTER = {RULE.format(n): "after" * 1000 for n in range(40)} | {"routes/a": None}


async def refused(backend, words):
    """Assert that a batch is refused with these words, and that nothing of it was made."""
    with pytest.raises(BackendUnavailable, match=words):
        await backend.apply(Batch(AFTER))
    assert (await backend.load()).keys == BEFORE


async def accepted(backend):
    await backend.apply(Batch(AFTER))
    assert (await backend.load()).keys == {key: value for key, value in AFTER.items() if value}


async def test_a_redis_without_memory_refuses_whole_batches(start_redis, open_redis):
    server = start_redis("maxmemory-policy noeviction")
    backend = await open_redis(server)
    await backend.apply(Batch(BEFORE))
    client = server.client()
    client.set("foreign", "x" * 5_000_000)
    client.config_set("maxmemory", "5mb")
    await refused(backend, "has no memory left")
    # Enough for a part of the batch.
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 50_000)
    await refused(backend, "has no memory left")
    client.delete("foreign")
    await accepted(backend)


async def test_a_redis_that_cannot_save_its_data(start_redis, open_redis):
    server = start_redis("save 3600 1000000")
    backend = await open_redis(server)
    await backend.apply(Batch(BEFORE))
    client = server.client()
    obstacle = server.directory / "dump.rdb"
    obstacle.mkdir()
    client.bgsave()
    await until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "Redis saves its data")
    await refused(backend, "cannot save its data")
    obstacle.rmdir()
    client.bgsave()
    await until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok", "Redis saves no data")
    await accepted(backend)


async def test_a_redis_with_too_few_replicas_refuses_whole_batches(start_redis, open_redis):
    server = start_redis()
    backend = await open_redis(server)
    await backend.apply(Batch(BEFORE))
    server.client().config_set("min-replicas-to-write", 1)
    await refused(backend, "too few replicas")
    server.client().config_set("min-replicas-to-write", 0)
    await accepted(backend)


async def test_a_redis_that_became_a_replica_is_named(start_redis, open_redis):
    master = start_redis("repl-diskless-sync-delay 0", name="master")
    server = start_redis(name="replica")
    backend = await open_redis(server, timeout=1)
    await backend.apply(Batch(BEFORE))
    await (await open_redis(master)).apply(Batch(BEFORE))
    client = server.client()
    client.replicaof("127.0.0.1", master.port)
    await until(lambda: client.info("replication")["master_link_status"] == "up", "the replica does not connect")
    await refused(backend, "is a read-only replica")
    with pytest.raises(BackendUnavailable, match="is a read-only replica"):
        await open_redis(server, timeout=1)
    client.replicaof("no", "one")
    await accepted(backend)


async def test_a_redis_that_loads_its_data_is_waited_for(start_redis, open_redis):
    server = start_redis(
        "enable-debug-command local",
        "appendonly yes",
        "key-load-delay 500",
        "loading-process-events-interval-bytes 1024",
    )
    backend = await open_redis(server)
    await backend.apply(Batch(BEFORE))
    server.client().execute_command("DEBUG", "POPULATE", 2000, "foreign")
    server.client().bgrewriteaof()
    await until(lambda: not server.client().info("persistence")["aof_rewrite_in_progress"], "the rewrite does not end")
    server.kill()
    server.launch()
    assert (await backend.load()).keys == BEFORE


def through(line):
    return {"url": f"redis://{line.host}:{line.port}"}


async def test_a_permission_that_is_taken_away_within_a_change(start_redis, open_redis):
    """The one case in which Redis makes a part of a transaction; it is told, and can be made good."""
    server = start_redis("user hub on nopass ~* &* +@all")
    async with Line("127.0.0.1", server.port) as line:
        backend = await open_redis(server, **through(line), username="hub", password="x")
        await backend.apply(Batch(BEFORE))
        line.hold_request(b"EXEC")
        applying = asyncio.create_task(backend.apply(Batch({**dict.fromkeys(BEFORE), "routes/b": "1"})))
        await in_time(line.held(), "no change is sent")
        await until(lambda: "5" in [c["multi"] for c in server.client().client_list()], "the commands do not come")
        server.client().execute_command("ACL", "SETUSER", "hub", "-del")
        await line.deliver()
        with pytest.raises(BackendUnavailable, match="Only a part of the change was made"):
            await applying
        server.client().execute_command("ACL", "SETUSER", "hub", "+del")
        await backend.apply(Batch(dict.fromkeys([*BEFORE, "routes/b"])))
        await accepted(backend)


@pytest.mark.parametrize("command", ["multi", "exec", "watch"])
async def test_without_permission_for_transactions_nothing_is_changed(start_redis, open_redis, command):
    """Not one by one either, as a server does that refuses MULTI, and then takes what came with it."""
    server = start_redis("user hub on nopass ~* &* +@all")
    backend = await open_redis(server, username="hub", password="x")
    await backend.apply(Batch(BEFORE))
    server.client().execute_command("ACL", "SETUSER", "hub", f"-{command}")
    with pytest.raises(BackendRejected, match=f"forbids the user 'hub' .*{command}"):
        await backend.apply(Batch(AFTER))
    server.client().execute_command("ACL", "SETUSER", "hub", f"+{command}")
    assert (await backend.load()).keys == BEFORE
    await accepted(backend)


async def test_a_refusal_repeats_no_value(start_redis, open_redis):
    server = start_redis("maxmemory-policy noeviction")
    backend = await open_redis(server)
    server.client().set("foreign", "x" * 5_000_000)
    server.client().config_set("maxmemory", "5mb")
    with pytest.raises(BackendUnavailable, match="has no memory left") as refused:
        await backend.apply(Batch({"routes/a": "s3cret"}))
    causes = [refused.value, refused.value.__cause__, refused.value.__cause__.__context__]
    assert "s3cret" not in str([str(error) for error in causes])


async def test_a_question_whose_answer_is_lost_is_asked_again(start_redis, open_redis):
    server = start_redis()
    async with Line("127.0.0.1", server.port) as line:
        backend = await open_redis(server, **through(line))
        await backend.apply(Batch(BEFORE))
        for word, call in (
            (b"WATCH", lambda: backend.apply(Batch(BEFORE))),
            (b"HGETALL", backend.load),
            (b"MGET", backend.load),
        ):
            line.hold_answer(word)
            calling = asyncio.create_task(call())
            await in_time(line.held(), "the question is not asked")
            await line.cut()
            await calling
        assert (await backend.load()).keys == BEFORE


async def test_a_frozen_redis_is_given_up_in_time(start_redis, open_redis):
    server = start_redis()
    backend, other = await open_redis(server, timeout=1), await open_redis(server, timeout=1)
    await backend.apply(Batch(BEFORE))
    await backend.acquire_lease("me", 600)
    server.freeze()
    calls = (
        backend.load(),
        backend.apply(Batch(AFTER)),
        backend.acquire_lease("me", 600),
        other.release_lease(),
        other.close(),
        open_redis(server, timeout=1),
    )
    results = await asyncio.gather(*calls, return_exceptions=True)
    server.thaw()
    assert [type(result) for result in results] == [BackendUnavailable] * 3 + [type(None)] * 2 + [BackendUnavailable]
    assert "did not answer" in str(results[0])
    assert (await backend.load()).keys == BEFORE
    await accepted(backend)


async def test_a_redis_that_is_down_at_first(start_redis, open_redis):
    server = start_redis()
    server.stop()
    with pytest.raises(BackendUnavailable, match=r"cannot be reached \(.*refused"):
        await open_redis(server, timeout=0.5)
    opening = asyncio.create_task(open_redis(server))
    await asyncio.sleep(0)
    server.start()
    await (await opening).apply(Batch(BEFORE))


async def test_a_redis_that_is_started_again(start_redis, open_redis):
    server = start_redis("appendonly yes", "appendfsync always")
    backend = await open_redis(server)
    await backend.apply(Batch(BEFORE))
    for end in (server.kill, server.stop):
        end()
        server.start()
        assert (await backend.load()).keys == BEFORE
    await accepted(backend)


async def test_a_redis_that_was_emptied(start_redis, open_redis):
    server = start_redis()
    backend = await open_redis(server)
    await backend.apply(Batch(BEFORE))
    watch = backend.watch()
    await anext(watch)
    server.client().flushall()
    await asyncio.wait_for(anext(watch), 60)
    await watch.aclose()
    assert (await backend.load()).keys == {}
    await accepted(backend)
