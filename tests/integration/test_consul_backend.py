"""The table in Consul: how much a transaction takes, who sees what, what others change."""

from __future__ import annotations

import asyncio
import re
from uuid import uuid4

import pytest

from jhub_kvproxy import BackendUnavailable, Batch, BatchRejected
from jhub_kvproxy_backends._consul_api import read_tree
from jhub_kvproxy_backends._consul_recent import Log
from jhub_kvproxy_backends._network import HTTPServers
from servers.consul import ConsulServer
from tests.drivers import numbered


@pytest.fixture
async def backend(new_consul):
    backend = new_consul()
    await backend.open()
    return backend


async def test_more_operations_than_consul_takes_are_never_lost(backend, consul):
    most = backend.max_txn_ops
    assert most in (61, 125)  # before and since Consul 1.14
    await backend.apply(numbered(most + 1))  # the place for the lease is free
    written = consul.read(f"{backend.root}/recent")[f"{backend.root}/recent"]
    with pytest.raises(BatchRejected, match=rf"Transaction contains too many operations \({most + 4} > {most + 3}\)"):
        await backend.apply(numbered(most + 2, "2"))
    assert consul.read(f"{backend.root}/") == {f"{backend.root}/routes/{n}": b"1" for n in range(most + 1)} | {
        f"{backend.root}/recent": written
    }
    await backend.acquire_lease("hub", 60)
    await backend.apply(numbered(most, "3"))
    with pytest.raises(BatchRejected):
        await backend.apply(numbered(most + 1, "4"))
    assert set((await backend.load()).keys.values()) == {"1", "3"}


async def test_a_batch_that_is_too_long_is_refused(backend, tmp_path, new_consul):
    with pytest.raises(BatchRejected, match="too large"):
        await backend.apply(Batch({"routes/a": "x" * 520_000}))
    with ConsulServer(tmp_path, config={"limits": {"txn_max_req_len": 20_000, "kv_max_value_size": 20_000}}) as server:
        strict = new_consul(url=server.url)
        await strict.open()
        with pytest.raises(BatchRejected, match="max size: 20000 bytes"):
            await strict.apply(Batch({"routes/a": "x" * 20_000}))
        await strict.apply(Batch({"routes/a": "x" * 10_000}))


async def test_a_large_answer_is_taken_in_bit_by_bit(new_consul, consul):
    backend = new_consul()
    consul.write({f"{backend.root}/routes/{n:05}": b"x" * 200 for n in range(10_000)})
    await backend.open()
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    answer = await backend._api.read([{"KV": {"Verb": "get-tree", "Key": f"{backend.root}/"}}])
    counting = asyncio.create_task(count())
    keys = await read_tree(answer, "")
    counting.cancel()
    assert len(keys) == 10_000
    assert turns > 1


_COUNTS = re.compile(rb'Index": ?\d+')


async def test_foreign_keys_cost_nothing(new_consul, consul, monkeypatch):
    """No operation asks or gets more because of what stands elsewhere in the store, whatever its name."""
    backend = new_consul()
    await backend.open()
    questions = []
    ask = HTTPServers.ask

    async def counted(self, *arguments, **options):
        answer = await ask(self, *arguments, **options)
        # Sessions have names at random, and Consul counts all changes.
        question = re.sub("[0-9a-f-]{36}", "ID", str(arguments))
        sizes = [len(_COUNTS.sub(b"", text or b"")) for text in (options["data"], answer.body)]
        questions.append((question, *sizes))
        return answer

    monkeypatch.setattr(HTTPServers, "ask", counted)

    async def use():
        questions.clear()
        backend._recent._log = Log()  # or it would grow
        watch = backend.watch()
        await anext(watch)
        await backend.apply(Batch({"routes/a": "1", "traefik/http/routers/a/rule": "1"}))
        await anext(watch)
        await watch.aclose()
        await backend.load()
        await backend.apply(Batch({"routes/a": None, "traefik/http/routers/a/rule": "2"}))
        await backend.acquire_lease("hub", 60)
        await backend.release_lease()
        return list(questions)

    await use()
    before = await use()
    others = (f"{backend.root}2/routes/", f"{backend.root[:-1]}/", "routes/", "traefik/http/routers/")
    consul.write({f"{others[n % 4]}{n}": b"x" for n in range(20_000)})
    assert await use() == before
    assert len(consul.read(others[0])) == 5_000
    for other in others:
        consul.delete(other)


async def test_a_watch_tells_of_the_table_and_of_nothing_else(new_consul, consul):
    backend = new_consul(prefix=f"h%b/é*?.{uuid4().hex}")
    await backend.open()
    other = new_consul(prefix=backend.prefix)
    await other.open()
    watch = backend.watch()
    await anext(watch)
    changed = asyncio.ensure_future(anext(watch))
    consul.write({f"{backend.root}2/routes/a": b"1", f"{backend.root[:-1]}": b"1", "routes/a": b"1"})
    await other.acquire_lease("other", 60)
    await other.acquire_lease("other", 60)
    await other.release_lease()
    marker = new_consul(prefix=backend.prefix + "-marker")
    await marker.open()
    marks = marker.watch()
    await anext(marks)
    await marker.apply(numbered(1))
    await anext(marks)  # by now the other changes would have been told too
    await marks.aclose()
    assert not changed.done()
    for change in ({"routes/a": "1"}, {"routes/a": "2"}, {"traefik/http/routers/a/rule": "1"}, {"routes/a": None}):
        await other.apply(Batch(change))
        await changed
        changed = asyncio.ensure_future(anext(watch))
    consul.delete(f"{backend.root}/")
    await changed
    await watch.aclose()


async def test_a_watch_survives_that_consul_is_emptied(tmp_path, new_consul):
    """Its index starts anew then."""
    with ConsulServer(tmp_path) as server:
        backend = new_consul(url=server.url, timeout=1)
        await backend.open()
        for number in range(50):
            await backend.apply(numbered(1, str(number)))
        watch = backend.watch()
        await anext(watch)
        server.kill()
        server.start()
        try:
            await anext(watch)
        except BackendUnavailable:
            await watch.aclose()
            watch = backend.watch()
            await anext(watch)
        assert (await backend.load()).keys == {}
        changed = asyncio.ensure_future(anext(watch))
        await backend.apply(numbered(1))
        await changed
        await watch.aclose()
