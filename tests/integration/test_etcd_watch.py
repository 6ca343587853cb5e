"""Watches of etcds that forget, split what they tell, or hold what is no text."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import aclosing

import pytest

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch
from jhub_kvproxy.testing import Line
from jhub_kvproxy_backends._etcd_watch import _stream
from servers.etcd import EtcdServer, encode
from tests.drivers import keys_of, numbered, opened
from tests.watches import PATIENCE, told, watching


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "etcd"


@pytest.fixture
def server(directory):
    """An etcd of its own, for tests that disturb it."""
    with EtcdServer(directory) as server:
        yield server


def forget(server, directory, copy=None):
    """Start it anew, with no data or that of a `copy`."""
    server.kill()
    shutil.rmtree(directory / "data")
    if copy:
        shutil.copytree(copy, directory / "data")
    server.start()


@pytest.mark.parametrize("is_restored", [False, True])
async def test_an_etcd_that_goes_back_is_noticed(server, directory, tmp_path, is_restored):
    async with opened(server.url, timeout=2.0) as backend, opened(server.url, prefix=backend.prefix) as writer:
        await writer.apply(numbered(1, "old"))
        server.stop()
        shutil.copytree(directory / "data", tmp_path / "copy")
        server.start()
        await writer.load()
        for number in range(20):
            await writer.apply(numbered(2, str(number)))
        async with watching(backend) as watch:
            forget(server, directory, tmp_path / "copy" if is_restored else None)
            with pytest.raises(BackendUnavailable):
                await told(watch)
        left = {"routes/0": "old"} if is_restored else {}
        assert await keys_of(backend) == await keys_of(writer) == left
        async with watching(backend) as watch:
            await writer.apply(numbered(1, "new"))
            assert await told(watch) == {"routes/0": "new"}
            await backend.apply(Batch({"routes/0": None}))
            assert await told(watch) == {"routes/0": None}
        assert await keys_of(backend) == {}


@pytest.fixture
async def line(server):
    async with Line("127.0.0.1", server.port) as line:
        yield line


async def test_it_is_noticed_by_a_watch_whose_connection_says_nothing(server, directory, line):
    async with opened(f"http://127.0.0.1:{line.port}", timeout=2.0) as backend:
        for number in range(5):
            await backend.apply(numbered(1, str(number)))
        async with watching(backend) as watch:
            line.freeze_connections()
            forget(server, directory)
            with pytest.raises(BackendUnavailable, match="gone back from revision"):
                await told(watch)


async def test_an_etcd_that_goes_back_while_it_is_read_is_read_anew(server, directory):
    async with opened(server.url) as backend:
        await backend.apply(numbered(500))
        ask, asked = backend._client.ask, []

        async def forgetful(path, message, **options):
            asked.append(message)
            if len(asked) == 2:
                forget(server, directory)
            return await ask(path, message, **options)

        backend._client.ask = forgetful
        assert await keys_of(backend) == {}
        assert len(asked) == 3


async def test_a_compacted_watch_goes_on(server, line):
    """One that must begin anew, because its connection died, where etcd no longer has what it missed."""
    url = f"http://127.0.0.1:{line.port}"
    async with (
        opened(url, timeout=2.0) as backend,
        opened(server.url, prefix=backend.prefix) as writer,
        watching(backend) as watch,
    ):
        line.freeze_connections()
        for number in range(3):
            await writer.apply(numbered(1, str(number)))
        revision = server.ask("/v3/kv/range", {"key": encode("a")})["header"]["revision"]
        server.ask("/v3/kv/compaction", {"revision": revision, "physical": True})
        assert await told(watch) is None
        await writer.apply(numbered(1, "new"))
        assert await told(watch) == {"routes/0": "new"}


async def test_fragments_are_told_together(server):
    async with opened(server.url) as backend:
        client = backend._client
        began = int(server.ask("/v3/kv/range", {"key": encode("a")})["header"]["revision"])
        for number in range(6):
            await backend.apply(Batch({f"routes/{number}-{key}": "x" * 100_000 for key in range(10)}))
        found = []
        async with asyncio.timeout(PATIENCE), aclosing(_stream(client, backend._range, began, 5.0)) as stream:
            while len({key for news in found for key in news.changed}) < 60:
                found.append(await anext(stream))
                whole = [key for key in found[-1].changed if key.endswith(b"-0")]
                assert len(found[-1].changed) == 10 * len(whole)
        # etcd's messages are smaller than what it sent of one revision after the other.
        assert max(sum(map(len, news.changed.values())) for news in found) > 2_500_000


async def test_what_is_no_text_is_to_be_read(server):
    async with opened(server.url) as backend, watching(backend) as watch:
        message = {"key": encode(f"{backend.root}/routes/a"), "value": "/w=="}
        server.ask("/v3/kv/put", message)
        assert await told(watch) is None
        with pytest.raises(BackendRejected, match="not text"):
            await backend.load()


async def test_tokens_are_renewed_after_a_restart(server):
    server.add_user("hub", "pass-word", "hub/")
    server.enable_auth("root-word")
    login = {"username": "hub", "password": "pass-word", "prefix": "hub"}
    async with opened(server.url, **login) as backend, opened(server.url, read_only=True, **login) as reader:
        async with watching(reader) as watch:
            await backend.acquire_lease("hub", 60)
            await backend.apply(numbered(1))
            assert await told(watch) == {"routes/0": "1"}
            server.add_user("other", "x", "other/")
            await backend.apply(numbered(1, "2"))
            assert await told(watch) == {"routes/0": "2"}
            assert await keys_of(reader) == {"routes/0": "2"}
            server.add_user("another", "x", "another/")
            server.kill()
            server.start()
            with pytest.raises(BackendUnavailable):
                await told(watch)
        assert await keys_of(reader) == {"routes/0": "2"}
        await backend.acquire_lease("hub", 60)
        await backend.apply(numbered(1, "3"))
        async with watching(reader) as watch:
            server.add_user("yet-another", "x", "yet-another/")
            await backend.apply(numbered(1, "4"))
            assert await told(watch) == {"routes/0": "4"}
