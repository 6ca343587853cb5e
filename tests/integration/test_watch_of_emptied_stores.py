"""Consuls and Redises that are emptied or restored while they are watched, and logs that others damage."""

from __future__ import annotations

import urllib.request

from jhub_kvproxy import Batch
from servers.consul import ConsulServer
from tests.drivers import keys_of
from tests.watches import told, watching


async def told_after_nones(watch):
    while (news := await told(watch)) is None:
        pass
    return news


async def test_an_emptied_redis_is_to_be_read(start_redis, open_redis):
    server = start_redis()
    backend = await open_redis(server)
    await backend.apply(Batch({"routes/a": "1"}))
    async with watching(backend) as watch:
        client = server.client()
        client.flushall()
        assert await told(watch) is None
        assert await keys_of(backend) == {}
        await backend.apply(Batch({"routes/b": "1"}))
        assert await told_after_nones(watch) == {"routes/b": "1"}
        client.delete("hub/table.recent")
        assert await told(watch) is None
        await backend.apply(Batch({"routes/b": "2"}))
        assert await told_after_nones(watch) == {"routes/b": "2"}
        client.close()


async def test_a_log_that_somebody_else_writes_is_no_news(start_redis, open_redis):
    server = start_redis()
    backend = await open_redis(server)
    async with watching(backend) as watch:
        client = server.client()
        for text in ("", "[" * 100_000, "7", '{"a": 7}'):
            client.xadd("hub/table.recent", {"changes": text})
            assert await told(watch) is None
        client.xadd("hub/table.recent", {"other": "{}", "changes": "{}"})
        assert await told(watch) is None
        client.set("hub/traefik/a", "x")
        assert await told(watch) is None
        await backend.apply(Batch({"routes/b": "2"}))
        assert await told(watch) == {"routes/b": "2"}
        client.close()


def snapshot(server, method, body=None):
    request = urllib.request.Request(f"{server.url}/v1/snapshot", body, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.read()


async def test_a_restored_consul_is_to_be_read(tmp_path, new_consul):
    with ConsulServer(tmp_path) as server:
        await restore(server, new_consul)


async def restore(server, new_consul):
    backend = new_consul(url=server.url)
    await backend.open()
    await backend.apply(Batch({"routes/a": "old"}))
    saved = snapshot(server, "GET")
    for number in range(5):
        await backend.apply(Batch({"routes/a": str(number)}))
    async with watching(backend) as watch:
        snapshot(server, "PUT", saved)
        assert await told(watch) is None
        assert await keys_of(backend) == {"routes/a": "old"}
        await backend.apply(Batch({"routes/a": "new"}))
        assert await told_after_nones(watch) == {"routes/a": "new"}
        server.delete(f"{backend.root}/recent")
        assert await told(watch) is None
        await backend.apply(Batch({"routes/a": "newer"}))
        assert await told_after_nones(watch) == {"routes/a": "newer"}


async def test_a_log_in_consul_that_somebody_else_writes_is_no_news(consul, new_consul):
    backend = new_consul()
    await backend.open()
    async with watching(backend) as watch:
        for text in (b"", b"[" * 100_000, b"7", b'{"gone": 0, "entries": [["a", 7]]}'):
            consul.write({f"{backend.root}/recent": text})
            assert await told(watch) is None
        await backend.apply(Batch({"routes/b": "1"}))
        assert await told(watch) is None
        await backend.apply(Batch({"routes/b": "2"}))
        assert await told_after_nones(watch) == {"routes/b": "2"}
        assert await keys_of(backend) == {"routes/b": "2"}
