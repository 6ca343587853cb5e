"""The lease in Consul, and datacenters."""

from __future__ import annotations

import asyncio
import time

import pytest

from jhub_kvproxy import BackendRejected, Batch, LeaseHeld, LeaseLost
from servers.consul import ConsulServer
from servers.ports import free_port
from tests.drivers import numbered
from tests.hub import until


@pytest.fixture
async def backend(new_consul):
    backend = new_consul()
    await backend.open()
    return backend


async def test_a_lease_is_a_session(backend, new_consul, consul):
    await backend.acquire_lease("hub-1", 30)
    [entry] = consul.ask("GET", f"/v1/kv/{backend.root}/lease")
    [session] = consul.ask("GET", f"/v1/session/info/{entry['Session']}")
    assert (session["TTL"], session["Behavior"], session["LockDelay"]) == ("30.000s", "delete", 0)
    assert "hub-1" in session["Name"]
    other = new_consul(prefix=backend.prefix)
    await other.open()
    with pytest.raises(LeaseHeld, match=rf"hub-1 holds the lease {backend.root}/lease in Consul since \d{{4}}-"):
        await other.acquire_lease("hub-2", 30)
    consul.ask("PUT", f"/v1/session/destroy/{entry['Session']}")  # as Consul does when it expires
    assert consul.read(f"{backend.root}/lease") == {}
    with pytest.raises(LeaseLost):
        await backend.apply(numbered(1))
    await other.acquire_lease("hub-2", 30)
    with pytest.raises(LeaseLost, match="no longer ours"):
        await backend.apply(numbered(1))
    with pytest.raises(LeaseHeld, match="hub-2"):
        await backend.acquire_lease("hub-1", 30)
    await other.apply(numbered(2))
    await other.close()
    await backend.acquire_lease("hub-1", 30)
    await backend.apply(numbered(1, "2"))
    assert (await backend.load()).keys == {"routes/0": "2", "routes/1": "1"}


async def test_a_lease_is_taken_over_as_soon_as_it_ran_out(backend, new_consul, consul):
    """Consul itself would keep it for 20 s. Who has lost it cannot write, whatever it believes."""
    other = new_consul(prefix=backend.prefix)
    await other.open()
    await backend.acquire_lease("hub-1", 0.3)
    [entry] = consul.ask("GET", f"/v1/kv/{backend.root}/lease")
    with pytest.raises(LeaseHeld):
        await other.acquire_lease("hub-2", 60)
    await backend.acquire_lease("hub-1", 0.3)  # a renewal counts from now on
    [renewed] = consul.ask("GET", f"/v1/kv/{backend.root}/lease")
    assert renewed["ModifyIndex"] > entry["ModifyIndex"]  # by which others know
    await until(lambda: is_lost(backend), "the lease does not run out for its holder")
    await until(lambda: acquired(other, "hub-2"), "the lease does not run out for others")
    assert consul.ask("GET", f"/v1/session/info/{entry['Session']}") != []
    backend._lease._deadline = time.monotonic() + 60  # as if its clock had stood still
    with pytest.raises(LeaseLost, match="no longer ours"):
        await backend.apply(numbered(1))
    await backend.close()
    await other.apply(numbered(1))
    with pytest.raises(LeaseHeld):
        await acquire_by(new_consul(prefix=backend.prefix))
    sessions = [session for session in consul.ask("GET", "/v1/session/list") if "hub-2" in session["Name"]]
    assert len(sessions) == 1


async def is_lost(backend):
    try:
        await backend.apply(Batch({"routes/absent": None}))
    except LeaseLost:
        return True
    return False


async def acquired(backend, holder):
    try:
        await backend.acquire_lease(holder, 60)
    except LeaseHeld:
        return False
    return True


async def acquire_by(backend):
    await backend.open()
    await backend.acquire_lease("somebody", 60)


async def test_of_several_who_take_over_one_wins(backend, new_consul):
    others = [new_consul(prefix=backend.prefix) for _ in range(5)]
    await backend.acquire_lease("gone", 0.1)
    for other in others:
        await other.open()

    results = []

    async def somebody_has_it():
        calls = (acquired(other, str(number)) for number, other in enumerate(others))
        results[:] = await asyncio.gather(*calls)
        return any(results)

    await until(somebody_has_it, "the lease does not run out")
    assert results.count(True) == 1


async def test_a_lease_that_consul_cannot_keep_is_refused(backend):
    with pytest.raises(BackendRejected, match="Invalid Session TTL"):
        await backend.acquire_lease("hub", 100_000)


async def test_a_damaged_lease_says_so(backend, new_consul, consul):
    await backend.acquire_lease("hub", 60)
    [entry] = consul.ask("GET", f"/v1/kv/{backend.root}/lease")
    operation = {"Verb": "lock", "Key": entry["Key"], "Session": entry["Session"], "Value": "bm9uc2Vuc2U="}
    consul.ask("PUT", "/v1/txn", [{"KV": operation}])
    with pytest.raises(LeaseHeld, match="Somebody"):
        await acquire_by(new_consul(prefix=backend.prefix))


# Datacenters


@pytest.fixture(scope="module")
def datacenters(tmp_path_factory):
    """Two Consuls, one in each of two datacenters that know each other."""
    ports = [free_port(), free_port()]
    servers = [
        ConsulServer(
            tmp_path_factory.mktemp(name),
            config={
                "datacenter": name,
                "ports": {"serf_wan": port},
                "retry_join_wan": [f"127.0.0.1:{other}"],
                "retry_interval_wan": "100ms",
            },
        )
        for name, port, other in zip(("here", "there"), ports, reversed(ports), strict=True)
    ]
    with servers[0] as here, servers[1] as there:
        yield here, there


async def is_open(backend):
    try:
        await backend.open()
    except BackendRejected:
        return False
    return True


async def test_a_datacenter_of_its_own(datacenters, new_consul):
    here, there = datacenters
    backend = new_consul(url=here.url, datacenter="there", timeout=60)
    await until(lambda: is_open(backend), "the datacenters do not find each other")
    await backend.apply(numbered(2))
    assert (await backend.load()).keys == numbered(2).changes
    assert here.read("hub") == {}
    assert len(there.read(f"{backend.root}/routes/")) == 2
    watch = backend.watch()
    await anext(watch)
    there.write({f"{backend.root}/routes/0": b"2"})
    await anext(watch)
    await watch.aclose()
    with pytest.raises(BackendRejected, match=r"Traefik would read the datacenter of the agent at .*, not 'there'"):
        backend.traefik_provider_config()
    with pytest.raises(BackendRejected, match="A lease needs an agent in the same datacenter"):
        await backend.acquire_lease("hub", 60)


async def test_the_agents_own_datacenter(datacenters, new_consul):
    here, _ = datacenters
    backend = new_consul(url=here.url, datacenter="here")
    await backend.open()
    assert backend.traefik_provider_config()["consul"]["endpoints"] == [f"127.0.0.1:{here.port}"]
    await backend.acquire_lease("hub", 60)
    await backend.apply(numbered(1))
    assert (await backend.load()).keys == numbered(1).changes


async def test_an_unknown_datacenter_is_named(datacenters, new_consul):
    with pytest.raises(BackendRejected, match="No path to datacenter"):
        await new_consul(url=datacenters[0].url, datacenter="nowhere").open()
