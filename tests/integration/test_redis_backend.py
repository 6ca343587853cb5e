"""The table in Redis: whole at every moment, whoever writes, reads, dies or runs out of memory."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from uuid import uuid4

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch, LeaseHeld, LeaseLost
from jhub_kvproxy_backends.redis import RedisBackend
from tests.hub import until
from tests.stores.redis import starting, use

RULE = "traefik/http/routers/{}/rule"


@pytest.fixture
def start(tmp_path):
    with starting(tmp_path) as start:
        yield start


@pytest.fixture
async def make():
    """Makes opened backends that are closed with the test."""
    backends = []

    async def make(server, **traits):
        backend = RedisBackend(**{"url": server.url, "prefix": "hub", **traits})
        backends.append(backend)
        await backend.open()
        return backend

    yield make
    for backend in backends:
        await backend.close()


@pytest.fixture
async def backend(make, redis_server):
    return await make(redis_server, prefix=f"hub-{uuid4().hex}")


async def test_foreign_keys_do_not_matter(start, make):
    """As many commands as in a database of our own, and none that looks for keys."""
    server = start("enable-debug-command local")
    backend = await make(server)
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


async def test_a_table_that_was_lost_in_part_is_an_error(backend, redis_server, make):
    """As a Redis may do that evicts keys, or a restored backup."""
    await backend.apply(Batch({RULE.format("a"): "1", "routes/a": "1"}))
    client = redis_server.client()
    client.delete(f"{backend.root}/table")
    with pytest.raises(BackendRejected, match="has lost the key") as lost:
        await backend.load()
    with pytest.raises(BackendRejected, match="has lost the key"):
        await backend.apply(Batch({"routes/b": "1"}))
    with pytest.raises(BackendRejected, match="has lost the key"):
        await make(redis_server, prefix=backend.prefix)
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


async def test_two_databases(make, redis_server):
    prefix = f"hub-{uuid4().hex}"
    one, two = [await make(redis_server, url=f"{redis_server.url}/{db}", prefix=prefix) for db in (3, 4)]
    await one.apply(Batch({"routes/a": "1"}))
    assert (await two.load()).keys == {}
    await two.apply(Batch({"routes/a": "2"}))
    assert (await one.load()).keys == {"routes/a": "1"}


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


async def test_no_memory_left(start, make):
    server = start("maxmemory-policy noeviction")
    backend = await make(server)
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


async def test_a_redis_that_cannot_save_its_data(start, make):
    server = start("save 3600 1000000")
    backend = await make(server)
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


async def test_too_few_replicas(start, make):
    server = start()
    backend = await make(server)
    await backend.apply(Batch(BEFORE))
    server.client().config_set("min-replicas-to-write", 1)
    await refused(backend, "too few replicas")
    server.client().config_set("min-replicas-to-write", 0)
    await accepted(backend)


async def test_a_replica(start, make):
    master = start("repl-diskless-sync-delay 0", name="master")
    server = start(name="replica")
    backend = await make(server, timeout=1)
    await backend.apply(Batch(BEFORE))
    await (await make(master)).apply(Batch(BEFORE))
    client = server.client()
    client.replicaof("127.0.0.1", master.port)
    await until(lambda: client.info("replication")["master_link_status"] == "up", "the replica does not connect")
    await refused(backend, "is a read-only replica")
    with pytest.raises(BackendUnavailable, match="is a read-only replica"):
        await make(server, timeout=1)
    client.replicaof("no", "one")
    await accepted(backend)


async def test_loading_is_waited_for(start, make):
    server = start(
        "enable-debug-command local",
        "appendonly yes",
        "key-load-delay 500",
        "loading-process-events-interval-bytes 1024",
    )
    backend = await make(server)
    await backend.apply(Batch(BEFORE))
    server.client().execute_command("DEBUG", "POPULATE", 2000, "foreign")
    server.client().bgrewriteaof()
    await until(lambda: not server.client().info("persistence")["aof_rewrite_in_progress"], "the rewrite does not end")
    server.kill()
    server.start(wait=False)
    assert (await backend.load()).keys == BEFORE


class Relay:
    """A network between a client and the server at `port` that can break."""

    def __init__(self, port):
        self._target = port
        self.requests, self.answers = [], []
        #: Told of each request, and of EXEC by itself; when one returns True, the connection breaks in the place of
        #: the answer, or the request waits for `release`.
        self.breaks = self.holds = lambda request: False
        self._released = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def release(self):
        """Bring what waits to the server; returns when it has answered."""
        before = len(self.answers)
        self._released.set()
        await until(lambda: len(self.answers) > before, "the server does not answer")

    async def _serve(self, reader, writer):
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        is_broken = False

        async def answer():
            while (data := await server_reader.read(1 << 20)) and not is_broken:
                self.answers.append(data)
                writer.write(data)
            writer.close()

        answering = asyncio.create_task(answer())
        with suppress(OSError):
            while data := await reader.read(1 << 20):
                for request in re.split(rb"(?=\*1\r\n\$4\r\nEXEC)", data):
                    self.requests.append(request)
                    is_broken = is_broken or self.breaks(request)
                    if self.holds(request):
                        await self._released.wait()
                    server_writer.write(request)
        server_writer.write_eof()
        with suppress(OSError):
            await answering
        server_writer.close()


async def test_a_change_whose_answer_is_lost_is_not_made_again(start, make):
    server = start()
    async with Relay(server.port) as relay:
        backend = await make(relay)
        relay.requests.clear()
        relay.breaks = lambda request: b"EXEC" in request
        with pytest.raises(BackendUnavailable, match="is not known"):
            await backend.apply(Batch(BEFORE))
        relay.breaks = lambda request: False
        assert sum(b"EXEC" in request for request in relay.requests) == 1
        await until(lambda: server.client().exists("hub/table"), "the change was not made")
        assert (await backend.load()).keys == BEFORE


async def test_a_change_that_is_late_is_not_made_after_the_table_was_read(start, make):
    """As by a server that was frozen: it still has what it was sent."""
    server = start()
    async with Relay(server.port) as relay:
        backend = await make(relay, timeout=1)
        await backend.apply(Batch(BEFORE))
        relay.holds = lambda request: b"EXEC" in request
        with pytest.raises(BackendUnavailable, match="did not answer"):
            await backend.apply(Batch({RULE.format(0): "late"}))
        relay.holds = lambda request: False
        assert (await backend.load()).keys == BEFORE
        await relay.release()
        assert (await backend.load()).keys == BEFORE
        await accepted(backend)


async def test_a_permission_that_is_taken_away_within_a_change(start, make):
    """The one case in which Redis makes a part of a transaction; it is told, and can be made good."""
    server = start("user hub on nopass ~* &* +@all")
    async with Relay(server.port) as relay:
        backend = await make(relay, username="hub", password="x")
        await backend.apply(Batch(BEFORE))
        relay.holds = lambda request: b"EXEC" in request
        applying = asyncio.create_task(backend.apply(Batch({**dict.fromkeys(BEFORE), "routes/b": "1"})))
        await until(lambda: b"EXEC" in relay.requests[-1] and b"QUEUED" in relay.answers[-1], "no change is sent")
        server.client().execute_command("ACL", "SETUSER", "hub", "-del")
        await relay.release()
        with pytest.raises(BackendUnavailable, match="Only a part of the change was made"):
            await applying
        server.client().execute_command("ACL", "SETUSER", "hub", "+del")
        await backend.apply(Batch(dict.fromkeys([*BEFORE, "routes/b"])))
        await accepted(backend)


async def test_a_question_whose_answer_is_lost_is_asked_again(start, make):
    server = start()
    async with Relay(server.port) as relay:
        backend = await make(relay)
        for word in (b"WATCH", b"HGETALL", b"MGET"):
            broken = []

            def breaks(request, word=word, broken=broken):
                if word in request and not broken:
                    broken.append(request)
                    return True
                return False

            relay.breaks = breaks
            await backend.apply(Batch(BEFORE))
            assert (await backend.load()).keys == BEFORE
            assert broken


async def test_a_frozen_redis(start, make):
    server = start()
    backend, other = await make(server, timeout=1), await make(server, timeout=1)
    await backend.apply(Batch(BEFORE))
    await backend.acquire_lease("me", 600)
    server.freeze()
    calls = (
        backend.load(),
        backend.apply(Batch(AFTER)),
        backend.acquire_lease("me", 600),
        other.release_lease(),
        other.close(),
        make(server, timeout=1),
    )
    results = await asyncio.gather(*calls, return_exceptions=True)
    server.thaw()
    assert [type(result) for result in results] == [BackendUnavailable] * 3 + [type(None)] * 2 + [BackendUnavailable]
    assert "did not answer" in str(results[0])
    assert (await backend.load()).keys == BEFORE
    await accepted(backend)


async def test_a_redis_that_freezes_within_a_change(start, make):
    server = start()
    async with Relay(server.port) as relay:
        backend = await make(relay, timeout=1)
        await backend.apply(Batch(BEFORE))

        def freeze(request):
            if b"EXEC" in request:
                server.freeze()
            return False

        relay.breaks = freeze
        with pytest.raises(BackendUnavailable, match="did not answer"):
            await backend.apply(Batch({RULE.format(0): "late"}))
        relay.breaks = lambda request: False
        server.thaw()
        await accepted(backend)


async def test_a_redis_that_is_down_at_first(start, make):
    server = start()
    server.stop()
    with pytest.raises(BackendUnavailable, match=r"cannot be reached \(.*refused"):
        await make(server, timeout=0.5)
    opening = asyncio.create_task(make(server))
    await asyncio.sleep(0)
    server.start()
    await (await opening).apply(Batch(BEFORE))


async def test_a_redis_that_is_started_again(start, make):
    server = start("appendonly yes", "appendfsync always")
    backend = await make(server)
    await backend.apply(Batch(BEFORE))
    for end in (server.kill, server.stop):
        end()
        server.start()
        assert (await backend.load()).keys == BEFORE
    await accepted(backend)


async def test_a_redis_that_was_emptied(backend, start, make):
    server = start()
    backend = await make(server)
    await backend.apply(Batch(BEFORE))
    watch = backend.watch()
    await anext(watch)
    server.client().flushall()
    await asyncio.wait_for(anext(watch), 60)
    await watch.aclose()
    assert (await backend.load()).keys == {}
    await accepted(backend)


async def test_a_writer_killed_at_any_moment_leaves_whole_batches(backend):
    """Each batch writes one number to ten keys: any mixture of numbers would be half a batch."""
    script = """
        import asyncio, sys
        from jhub_kvproxy import Batch
        from jhub_kvproxy_backends.redis import RedisBackend

        async def main(url, prefix):
            backend = RedisBackend(url=url, prefix=prefix)
            await backend.open()
            number = 0
            while True:
                number += 1
                if number == 2:
                    print("ready", flush=True)
                keys = [f"traefik/http/routers/r{n}/rule" for n in range(5)] + [f"routes/{n}" for n in range(5)]
                await backend.apply(Batch(dict.fromkeys(keys, str(number))))

        asyncio.run(main(*sys.argv[1:]))
    """
    seen = set()
    for moment in range(4):
        arguments = [sys.executable, "-c", textwrap.dedent(script), backend.url, backend.prefix]
        writer = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        try:
            assert writer.stdout.readline() == b"ready\n"
            for _ in range(moment + 1):
                keys = (await backend.load()).keys
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
            writer.stdout.close()
        keys = (await backend.load()).keys
        assert len(keys) == 10
        assert len(set(keys.values())) == 1
        seen |= set(keys.values())
    assert len(seen) > 1


async def test_nothing_is_left_after_remove(start, make):
    server = start()
    await use(url=server.url)
    assert server.client().keys() == []


async def test_a_lease_says_who_has_it_and_since_when(backend, redis_server, make):
    other = await make(redis_server, prefix=backend.prefix)
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


async def test_a_watch_lasts_while_nothing_happens(start, make):
    """It asks now and then whether Redis is still there."""
    server = start()
    backend = await make(server, timeout=0.5)
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
async def test_a_watch_that_may_miss_something_ends(start, make, fault):
    server = start()
    backend = await make(server, timeout=0.5)
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
async def test_a_redis_that_may_lose_the_table_is_warned_of(start, make, caplog, lines, warning):
    await make(start(*lines))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * bool(warning)
    assert (warning or "") in caplog.text
