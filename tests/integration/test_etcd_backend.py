"""The table in etcd: how much a transaction takes, who sees what, and who else is there."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing

import pytest

from jhub_kvproxy import BackendRejected, Batch, BatchRejected, LeaseLost
from jhub_kvproxy.routing.routes import Route
from servers.etcd import EtcdServer, encode
from tests.drivers import keys_of, numbered, opened
from tests.site import writer_for


@pytest.fixture
async def backend(etcd):
    async with opened(etcd.url) as backend:
        yield backend


async def test_more_operations_than_the_server_takes(tmp_path):
    with EtcdServer(tmp_path, "--max-txn-ops=64") as server:
        async with opened(server.url) as backend:
            await backend.apply(numbered(64))
            with pytest.raises(BatchRejected, match=r"Set EtcdBackend\.txn_ops to its --max-txn-ops"):
                await backend.apply(numbered(65, "2"))
            assert await keys_of(backend) == numbered(64).changes
            # The core cuts such a batch down.
            writer = writer_for(backend)
            routes = [Route(f"/user/{number}/", "http://127.0.0.1:1", {"n": number}) for number in range(30)]
            await asyncio.gather(*(writer.put(route, 60) for route in routes))
            assert await writer.routes(from_memory=False) == {route.name: route for route in routes}


async def test_txn_ops_is_an_option(tmp_path):
    with EtcdServer(tmp_path, "--max-txn-ops=64") as server:
        async with opened(server.url, txn_ops=64) as backend:
            for count in (64, 65, 128, backend.max_txn_ops):
                await backend.apply(numbered(count, str(count)))
                assert await keys_of(backend) == numbered(count, str(count)).changes
            with pytest.raises(BatchRejected):
                await backend.apply(numbered(64 * 64 + 1, "too many"))
            assert await keys_of(backend) == numbered(count, str(count)).changes


async def test_a_batch_of_several_transactions_is_seen_as_one(backend):
    async with aclosing(backend.watch()) as watch:
        await anext(watch)
        before = backend._known
        await backend.apply(numbered(1000))
        await anext(watch)
        client = backend._client
        answer = await client.ask("/v3/kv/range", backend._range, again=True, deadline=client.deadline())
        assert {kv["mod_revision"] for kv in answer["kvs"]} == {str(before + 1)}


@pytest.mark.parametrize("size", [1_600_000, 3_000_000])  # what etcd refuses, and what gRPC does
async def test_more_bytes_than_the_server_takes(backend, size):
    with pytest.raises(BatchRejected, match="too large"):
        await backend.apply(Batch({"routes/a": "x" * size, "routes/b": "1"}))
    assert await keys_of(backend) == {}


async def test_large_values_and_many_small_ones(backend):
    expected = {}
    for batch in (
        *({f"routes/{number}": str(number) * 400_000} for number in range(10)),
        *({f"routes/s{start + n:05}": "x" for n in range(100)} for start in range(0, 3000, 100)),
        {"routes/zzz": "y" * (backend.max_txn_bytes - 10)},
    ):
        expected |= batch
        await backend.apply(Batch(batch))
    assert await keys_of(backend) == expected


async def test_a_table_that_is_compacted_while_it_is_read(backend, etcd, monkeypatch):
    for part in range(5):
        await backend.apply(Batch({f"routes/{part}-{number}": "old" for number in range(100)}))
    ask, is_changed = backend._client.ask, False

    async def disturbed(path, *arguments, **options):
        nonlocal is_changed
        answer = await ask(path, *arguments, **options)
        if not is_changed:
            is_changed = True
            etcd.write({f"{backend.root}/routes/0-0": "new"})
            revision = etcd.ask("/v3/kv/range", {"key": encode("a")})["header"]["revision"]
            etcd.ask("/v3/kv/compaction", {"revision": revision})
        return answer

    monkeypatch.setattr(backend._client, "ask", disturbed)
    keys = await keys_of(backend)
    assert len(keys) == 500
    assert keys["routes/0-0"] == "new"


async def test_what_is_not_text_is_refused(backend, etcd):
    key = f"{backend.root}/routes/x"
    etcd.ask("/v3/kv/put", {"key": encode(key), "value": "/w=="})
    with pytest.raises(BackendRejected, match=re.escape(key)):
        await backend.load()
    with pytest.raises(BatchRejected):
        await backend.apply(Batch({"routes/x": "\ud800"}))


async def test_a_watch_of_large_changes(backend):
    async with aclosing(backend.watch()) as changes:
        await anext(changes)
        for number in range(3):
            await backend.apply(Batch({"routes/a": str(number) * 1_000_000}))
            await anext(changes)


async def test_foreign_keys_cost_nothing(tmp_path):
    """Requests and bytes, as etcd counts them, are those of a store without them."""
    with EtcdServer(tmp_path, "--max-txn-ops=10000") as server:

        async def cost(prefix) -> dict[str, float]:
            before = counters(server)
            async with opened(server.url, prefix=prefix) as backend, aclosing(backend.watch()) as changes:
                await anext(changes)
                await backend.acquire_lease("hub", 60)
                await backend.apply(numbered(100))
                await anext(changes)
                assert len(await keys_of(backend)) == 100
                await backend.release_lease()
                await backend.remove()
                assert await keys_of(backend) == {}
            after = counters(server)
            return {name: after[name] - before.get(name, 0) for name in after}

        alone = await cost("hub")
        names = ("a", "hub", "hu/", "hub.", "hub0", "hub0/", "hub2/routes/", "hub%2F/routes/", "traefik/", "zzz/")
        for name in names:
            server.write({f"{name}{number}": "x" * 50 for number in range(10_000)})
        crowded = await cost("hub")
        assert {k: v for k, v in crowded.items() if "handled" in k} == {
            k: v for k, v in alone.items() if "handled" in k
        }
        assert alone["sent"] > 1000
        # A revision has more digits than before.
        assert crowded["sent"] < alone["sent"] * 1.2
        assert crowded["received"] < alone["received"] * 1.2
        assert len(server.read("hub", count_only=True, limit="0")) == 0


def counters(server: EtcdServer) -> dict[str, float]:
    found = {}
    for line in server.get("/metrics").splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("grpc_server_handled_total") and ('"KV"' in name or "etcdserverpb.KV" in name):
            found[name] = float(value)
        elif total := re.fullmatch(r"etcd_network_client_grpc_(sent|received)_bytes_total", name):
            found[total[1]] = float(value)
    return found


async def test_a_lease_that_somebody_removed_is_lost_and_can_be_had_again(backend, etcd):
    await backend.acquire_lease("hub", 60)
    etcd.delete(f"{backend.root}/lease")
    with pytest.raises(LeaseLost, match="it has expired"):
        await backend.apply(numbered(1))
    await backend.acquire_lease("hub", 60)
    await backend.apply(numbered(1))


async def test_one_prefix_may_begin_with_another(etcd):
    """No key of one is in the range that another reads, watches or removes."""
    async with (
        opened(etcd.url, prefix="x") as one,
        opened(etcd.url, prefix="x0") as two,
        opened(etcd.url, prefix="x/") as three,
        aclosing(one.watch()) as changes,
    ):
        await anext(changes)
        change = asyncio.ensure_future(anext(changes))
        for backend in (two, three):
            await backend.apply(numbered(2))
        assert await keys_of(one) == {}
        await one.remove()
        assert not change.done()
        await one.apply(numbered(1))
        await change
        for backend in (two, three):
            assert await keys_of(backend) == numbered(2).changes
        for backend in (one, two, three):
            await backend.remove()
