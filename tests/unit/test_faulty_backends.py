"""Backends with faults, as the kit makes them: chosen as a backend_class, under a proxy without Traefik."""

from __future__ import annotations

from uuid import uuid4

import pytest
from traitlets.config import Config

from jhub_kvproxy import BackendUnavailable, Batch, BatchRejected, SupportsLease, SupportsWatch
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.testing import MemoryBackend, flaky, fussy, longest_block, slow

TARGET = "http://127.0.0.1:1"


def proxy_on(backend_class, name, **traits):
    config = Config({"KVProxy": {"backend_class": backend_class, **traits}, "MemoryBackend": {"name": name}})
    return KVProxy(config=config)


def routes_in(name):
    keys = MemoryBackend.tables[name, "jupyterhub"].keys
    return {key.removeprefix("routes/") for key in keys if key.startswith("routes/")}


@pytest.fixture
def name():
    return uuid4().hex


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_proxy_on_a_flaky_store_tries_again(name, fault):
    backend_class = flaky(MemoryBackend)
    assert backend_class.__name__ == "FlakyMemoryBackend"
    proxy = proxy_on(backend_class, name)
    await proxy.add_route("/user/a/", TARGET, {})
    backend_class.faults += [fault, fault]
    await proxy.add_route("/user/b/", TARGET, {})
    assert not backend_class.faults
    assert routes_in(name) == {"p.user.a", "p.user.b"}
    backend_class.faults.append(fault)
    await proxy.delete_route("/user/b/")
    assert (await proxy.get_all_routes()).keys() == {"/user/a/"}
    await proxy.stop()


async def test_a_store_that_is_down_comes_back(name):
    backend_class = flaky(MemoryBackend, "", "before")
    other_class = flaky(MemoryBackend)
    proxy = proxy_on(backend_class, name, store_timeout=0, ready_timeout=0.2)
    with pytest.raises(BackendUnavailable):
        await proxy.add_route("/user/a/", TARGET, {})
    await proxy.add_route("/user/a/", TARGET, {})
    backend_class.is_down = True
    with pytest.raises(BackendUnavailable, match=r"made to be away.*given up after 0\.2 s"):
        await proxy.add_route("/user/b/", TARGET, {})
    assert (await other_class(name=name, prefix="jupyterhub").load()).keys  # each class has its own faults
    backend_class.is_down = False
    assert list(await proxy.get_all_routes()) == ["/user/a/"]
    assert routes_in(name) == {"p.user.a"}
    await proxy.stop()


async def test_a_fussy_store_refuses_a_word(name):
    backend = fussy(MemoryBackend, "BAD")(name=name, prefix="hub")
    for batch in ({"routes/a": "1", "routes/b": "a BAD value"}, {"routes/BAD": None}):
        with pytest.raises(BatchRejected, match="BAD"):
            await backend.apply(Batch(batch))
    await backend.apply(Batch({"routes/a": "1"}))
    assert (await backend.load()).keys == {"routes/a": "1"}


async def test_faults_can_be_combined_and_keep_the_powers(name):
    backend = fussy(slow(flaky(MemoryBackend, "after"), 0.001), "BAD")(name=name, prefix="hub")
    assert isinstance(backend, SupportsWatch)
    assert isinstance(backend, SupportsLease)
    with pytest.raises(BackendUnavailable):
        await backend.apply(Batch({"routes/a": "1"}))
    assert (await backend.load()).keys == {"routes/a": "1"}


async def test_longest_block_measures():
    with longest_block() as block:
        sum(range(3_000_000))  # some ms
    assert block.seconds > 0
