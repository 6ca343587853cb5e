"""What the watches of the drivers of networks tell, on real servers: whole commits, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch
from jhub_kvproxy_backends.consul import ConsulBackend
from jhub_kvproxy_backends.etcd import EtcdBackend
from jhub_kvproxy_backends.postgres import PostgresBackend
from jhub_kvproxy_backends.redis import RedisBackend
from tests.drivers import drivers, keys_of
from tests.hub import until
from tests.watches import told, watching

KINDS = {"etcd": EtcdBackend, "consul": ConsulBackend, "redis": RedisBackend, "postgres": PostgresBackend}
FIXTURES = {"redis": "redis_server"}


@pytest.fixture(params=KINDS)
def name(request):
    return request.param


@pytest.fixture
def server(name, request):
    return request.getfixturevalue(FIXTURES.get(name, name))


@pytest.fixture
async def new(name, server):
    """A function that opens drivers on one prefix, or with other traits."""
    async with drivers(KINDS[name], **server.traits) as new:
        first = new()
        prefix = first.prefix
        await first.open()  # what reads only waits until a hub has made the tables

        async def opened(**traits):
            backend = new(**{"prefix": prefix, **traits})
            await backend.open()
            return backend

        yield opened


async def told_within(watch, keys):
    """What `watch` tells until it has told of `keys`."""
    found = {}
    while not found.keys() >= set(keys):
        news = await told(watch)
        assert news is not None
        found |= news
    return found


async def test_each_commit_is_told(new):
    backend, other = await new(), await new()
    async with watching(other) as watch:
        for changes in (
            {"routes/a": "1", "routes/b": "ü", "revision": "r1"},
            {"routes/a": None, "revision": "r2"},
            {"routes/c": "", "traefik/http/routers/c/rule": "x", "options": "{}"},
            {"routes/b": None, "routes/c": None, "revision": None, "options": None},
        ):
            await backend.apply(Batch(changes))
            assert await told(watch) == changes
        await other.apply(Batch({"routes/own": "1"}))
        assert await told(watch) == {"routes/own": "1"}


async def test_several_writers_are_told_without_a_gap(new):
    """Whoever follows what is told has the table, whoever wrote it."""
    writers = [await new() for _ in range(3)]
    async with watching(await new()) as watch:
        for number in range(8):
            for writer, backend in enumerate(writers):
                await backend.apply(Batch({f"routes/{writer}": str(number), "revision": f"{writer}-{number}"}))
            expected = {f"routes/{writer}": str(number) for writer in range(3)} | {"revision": f"2-{number}"}
            found = {}
            while found != expected:
                found |= await told(watch)


async def test_a_commit_is_told_as_a_whole(new):
    backend = await new()
    async with watching(await new()) as watch:
        for number in range(20):
            await backend.apply(Batch({f"routes/{key}": str(number) for key in range(5)}))
        values = {}
        while values.get("routes/0") != "19":
            values |= await told(watch)
            assert len(set(values.values())) == 1


async def test_who_looks_late_is_told_all_or_nothing(new):
    backend = await new()
    async with watching(await new()) as watch:
        await backend.apply(Batch({"routes/first": "1"}))
        for number in range(100):
            await backend.apply(Batch({f"routes/{number}": "x" * 200}))
        found = {}
        while not (found.keys() >= {"routes/first", "routes/99"} and len(found) == 101):
            found |= await keys_of(backend) if (news := await told(watch)) is None else news
        await backend.apply(Batch({"routes/last": "1"}))
        while (news := await told(watch)) != {"routes/last": "1"}:
            assert news is None or news.keys() <= found.keys()


async def test_a_large_commit_is_told_as_a_whole_or_to_be_read(new):
    backend = await new()
    async with watching(await new()) as watch:
        changes = {f"routes/{number}": "x" * 900 for number in range(60)}
        await backend.apply(Batch(changes))
        assert await told(watch) in (None, changes)
        await backend.apply(Batch({"routes/a": "1"}))
        assert await told(watch) == {"routes/a": "1"}


async def test_leases_and_what_the_driver_keeps_are_not_told(new):
    backend = await new()
    async with watching(await new()) as watch:
        await backend.acquire_lease("hub", 60)
        await backend.apply(Batch({"routes/a": "1"}))
        await backend.acquire_lease("hub", 60)
        await backend.load()
        await backend.apply(Batch({"routes/a": "2"}))
        await backend.release_lease()
        await backend.apply(Batch({"routes/b": "1"}))
        assert await told_within(watch, ["routes/b"]) == {"routes/a": "2", "routes/b": "1"}
        assert await keys_of(backend) == {"routes/a": "2", "routes/b": "1"}


def change(name, server, root, key, value):
    """Change `key` as somebody who knows nothing of the driver."""
    if name == "redis":
        client = server.client()
        client.hset(f"{root}/table", key, value)
        client.close()
    elif name == "postgres":
        server.ask(f"UPDATE kvproxy.keys SET value = '{value}' WHERE prefix = '{root}' AND key = '{key}'")
    elif name == "consul":
        server.write({f"{root}/{key}": value.encode()})
    else:
        server.write({f"{root}/{key}": value})


async def test_what_others_change_is_told_or_to_be_read(name, server, new):
    backend = await new()
    await backend.apply(Batch({"routes/a": "1", "routes/b": "1"}))
    async with watching(await new()) as watch:
        for number in range(3):
            change(name, server, backend.root, "routes/a", f"foreign {number}")
            assert await told(watch) == ({"routes/a": f"foreign {number}"} if name == "etcd" else None)
            await backend.apply(Batch({"routes/b": str(number)}))
            assert await told(watch) == {"routes/b": str(number)}


async def test_a_removed_table_is_noticed(new):
    backend = await new()
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(await new()) as watch:
        await backend.remove()
        while True:
            news = await told(watch)
            if news is None or news == {"routes/a": None}:
                break
        backend = await new()
        await backend.apply(Batch({"routes/b": "1"}))
        while (news := await told(watch)) != {"routes/b": "1"}:
            assert not news


async def test_a_closed_backend_ends_its_watches(new):
    before = asyncio.all_tasks()
    backend = await new()
    async with watching(backend) as waiting, watching(backend) as idle:
        task = asyncio.create_task(told(waiting))
        await asyncio.sleep(0.05)
        await backend.close()
        with pytest.raises(BackendUnavailable):
            await task
        with pytest.raises(BackendUnavailable):
            await told(idle)
    await until(lambda: asyncio.all_tasks() <= before, "a task is left")
    await backend.open()
    async with watching(backend) as watch:
        await backend.apply(Batch({"routes/a": "1"}))
        assert await told(watch) == {"routes/a": "1"}


# Objects that only read


def raw(name, server, root):
    """All that the server has below `root`."""
    if name == "postgres":
        return server.ask(
            f"SELECT json_agg(k) FROM kvproxy.keys AS k WHERE prefix = '{root}' HAVING count(*) > 0; "
            f"SELECT json_agg(l) FROM kvproxy.leases AS l WHERE prefix = '{root}' HAVING count(*) > 0"
        )
    if name != "redis":
        return server.read(f"{root}/")
    client = server.client()
    client.connection_pool.connection_kwargs["decode_responses"] = False
    found = {key: client.dump(key) for key in client.keys(f"{root}/*")}
    client.close()
    return found


async def test_a_reader_reads_and_changes_nothing(name, server, new):
    reader = await new(read_only=True)
    assert await keys_of(reader) == {}
    assert not raw(name, server, reader.root)
    writer = await new()
    async with watching(reader) as watch:
        await writer.acquire_lease("hub", 60)
        await writer.apply(Batch({"routes/a": "1"}))
        assert await told(watch) == {"routes/a": "1"}
        assert await keys_of(reader) == {"routes/a": "1"}
        before = raw(name, server, reader.root)
        for call in (
            reader.apply(Batch({"routes/b": "1"})),
            reader.acquire_lease("reader", 60),
            reader.remove(),
        ):
            with pytest.raises(BackendRejected, match="read_only"):
                await call
        await reader.release_lease()
    await reader.close()
    assert raw(name, server, reader.root) == before
