"""etcds that freeze, break, fill up or get lost, and writers that do."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing

import pytest

from jhub_kvproxy import BackendUnavailable, Batch, LeaseHeld, LeaseLost
from jhub_kvproxy_backends.etcd import EtcdBackend
from servers.errors import Refused
from servers.etcd import EtcdCluster, EtcdServer
from tests.drivers import keys_of, numbered, opened
from tests.hub import until


@pytest.fixture
def server(tmp_path):
    """An etcd of its own, for tests that disturb it."""
    with EtcdServer(tmp_path / "etcd") as server:
        yield server


@pytest.fixture
async def backend(etcd):
    async with opened(etcd.url) as backend:
        yield backend


async def test_a_frozen_server_is_given_up_and_used_again(server):
    async with opened(server.url, timeout=0.5) as backend, aclosing(backend.watch()) as changes:
        await anext(changes)
        watching = asyncio.create_task(anext(changes))
        await backend.apply(numbered(1, "before"))
        await watching
        watching = asyncio.create_task(anext(changes))
        server.freeze()
        for call in (
            lambda: backend.apply(numbered(1, "frozen")),
            backend.load,
            lambda: backend.acquire_lease("hub", 60),
            EtcdBackend(urls=[server.url], prefix="hub", timeout=0.5).open,
            lambda: watching,
        ):
            with pytest.raises(BackendUnavailable):
                await call()
        server.thaw()
        await backend.release_lease()
        await backend.apply(numbered(1, "after"))
        assert await keys_of(backend) == numbered(1, "after").changes


async def test_another_writer_in_doubt_stops_nobody(backend, etcd):
    async with opened(etcd.url, prefix=backend.prefix) as other:
        for number in range(3):
            other._is_in_doubt = True
            await other.apply(Batch({"routes/other": str(number)}))
            await backend.apply(Batch({"routes/ours": str(number)}))
            assert await keys_of(backend) == {"routes/other": str(number), "routes/ours": str(number)}


async def test_a_cluster_loses_members(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        members = dict(zip(cluster.urls, cluster.members, strict=True))
        async with opened(*cluster.urls, timeout=3.0) as backend:
            for number in range(3):
                lost = members[backend._client.url]
                lost.kill()
                await keys_of(backend)
                await until(lambda n=number: is_applied(backend, numbered(1, str(n))), "no member takes a change")
                assert await keys_of(backend) == numbered(1, str(number)).changes
                lost.start()
            frozen = members[backend._client.url]
            frozen.freeze()
            await until(lambda: is_applied(backend, numbered(1, "frozen")), "no member takes a change")
            assert await keys_of(backend) == numbered(1, "frozen").changes
            frozen.thaw()
            # Without a majority the last one knows the keys, but not whether they are still so.
            for member in cluster.members[:2]:
                member.kill()
            for call in (backend.load, lambda: backend.apply(numbered(1, "minority"))):
                with pytest.raises(BackendUnavailable):
                    await call()
            cluster.members[0].start()
            await until(lambda: is_applied(backend, numbered(1, "again")), "no member takes a change")
            assert await keys_of(backend) == numbered(1, "again").changes


async def is_applied(backend, batch) -> bool:
    try:
        await backend.apply(batch)
    except BackendUnavailable:
        return False
    return True


async def test_an_address_that_swallows_everything(etcd):
    """Nothing was sent there, so a change may go to the next one."""
    with socket.socket() as black_hole, socket.socket() as filler:
        black_hole.bind(("127.0.0.1", 0))
        black_hole.listen(0)
        filler.connect(black_hole.getsockname())  # Linux takes no second one: its SYN gets no answer
        url = f"http://127.0.0.1:{black_hole.getsockname()[1]}"
        async with opened(etcd.url, url, timeout=2.0) as backend:
            backend._client._http.urls = [url, etcd.url]
            await backend.apply(numbered(1))
            assert backend._client.url == etcd.url


async def test_a_watch_ends_with_its_server(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        members = dict(zip(cluster.urls, cluster.members, strict=True))
        async with opened(*cluster.urls, timeout=3.0) as backend:
            changes = backend.watch()
            await anext(changes)
            members[backend._client.url].kill()
            with pytest.raises(BackendUnavailable):
                await anext(changes)
            await until(lambda: is_applied(backend, numbered(1)), "no member takes a change")
            async with aclosing(backend.watch()) as changes:
                await anext(changes)
                await backend.apply(numbered(1, "2"))
                await anext(changes)


async def test_a_full_etcd_refuses_and_takes_changes_again(tmp_path):
    with EtcdServer(tmp_path, "--quota-backend-bytes=2000000") as server:
        async with opened(server.url) as backend:
            await backend.apply(numbered(1))
            with pytest.raises(Refused, match="space exceeded"):
                server.fill()
            for call in (
                lambda: backend.apply(numbered(2, "full")),
                EtcdBackend(urls=[server.url], prefix="hub").open,
            ):
                with pytest.raises(BackendUnavailable, match=r"is full and takes no changes.*etcdctl alarm disarm"):
                    await call()
            assert await keys_of(backend) == numbered(1).changes
            server.make_room()
            await backend.apply(numbered(2, "free"))
            assert await keys_of(backend) == numbered(2, "free").changes


async def test_a_lease_outlives_a_restart_of_the_server(server):
    async with opened(server.url, prefix="hub") as first, opened(server.url, prefix="hub") as second:
        await first.acquire_lease("the first hub", 60)
        server.kill()
        server.start()
        with pytest.raises(LeaseHeld, match=r"the first hub \(since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\).*hub/lease"):
            await second.acquire_lease("the second hub", 60)
        await first.apply(numbered(1))
        with pytest.raises(LeaseLost):
            await second.apply(numbered(1, "2"))
        # Its lease in etcd may be for another time; the key stays the same one.
        await first.acquire_lease("the first hub", 30)
        await first.apply(numbered(1, "3"))
        await first.release_lease()
        await second.acquire_lease("the second hub", 60)
        await second.apply(numbered(1, "4"))
        assert len(server.ask("/v3/lease/leases", {})["leases"]) == 1
