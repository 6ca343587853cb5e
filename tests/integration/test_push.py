"""The hub sends the table to the plugin in Traefik (``KVProxy.delivery = "push"``)."""

from __future__ import annotations

import asyncio
import json

import pytest

from jhub_kvproxy.push import plugin
from jhub_kvproxy.push.wire import Served
from jhub_kvproxy.routing.records import REVISION, TRAEFIK_REVISION
from jhub_kvproxy.routing.routes import Pattern
from tests.hub import until
from tests.plugin import told
from tests.site import count_commits
from tests.stores import on_every_store

NAMES = ["a", "a/named", "ab", "%2B", "a%40b", "%E4%B8%AD", "%22%60", *(f"student{number}" for number in range(60))]
PATHS = ["/", *(f"/user/{name}/" for name in NAMES)]
HOSTS = ["/", *(f"{name}.example.org/user/x/" for name in ("a", "ab", "abc", *(f"student{n}" for n in range(40))))]


@on_every_store
@pytest.mark.parametrize("specs", [PATHS, HOSTS], ids=["paths", "hosts"])
async def test_each_request_gets_to_its_route_either_way(site, specs):
    servers = {spec: await site.server(spec) for spec in specs[:12]}
    for delivery in ("store", "push"):
        proxy = await site.started(host_routing=specs is HOSTS, delivery=delivery)
        wanted = [(spec, servers.get(spec, "http://127.0.0.1:1")) for spec in specs]
        await asyncio.gather(*(proxy.add_route(spec, target, {}) for spec, target in wanted))
        for spec in servers:
            host, _, path = spec.partition("/")
            assert await site.client.server(f"/{path}x", host or "127.0.0.1") == spec
        await site.client.close()
        await proxy.stop()


@on_every_store
async def test_the_store_holds_what_somebody_reads_there(site):
    kept = {}
    for delivery in ("push", "store", "push"):
        proxy = await site.started(delivery=delivery)
        await asyncio.gather(*(proxy.add_route(spec, "http://127.0.0.1:1", {}) for spec in PATHS))
        kept.setdefault(delivery, []).append(set((await proxy.backend.load()).keys))
        await proxy.stop()
    records = {f"routes/{Pattern.parse(spec).name}" for spec in PATHS}
    assert kept["push"] == [records | {REVISION}] * 2
    [for_traefik] = kept["store"]
    assert for_traefik > records | {TRAEFIK_REVISION}
    assert len(for_traefik) > 4 * len(records)


@on_every_store
async def test_changes_are_live_when_the_call_returns(site):
    proxy = await site.started(delivery="push")
    one, two, hub = [await site.server(name) for name in ("one", "two", "hub")]
    await proxy.add_route("/", hub, {})
    for _ in range(20):
        await proxy.add_route("/user/a/", one, {})
        assert await site.client.server("/user/a/") == "one"
        await proxy.add_route("/user/a/", two, {"n": 1})
        assert await site.client.server("/user/a/") == "two"
        await proxy.delete_route("/user/a/")
        assert await site.client.server("/user/a/") == "hub"


async def test_it_is_the_default_where_the_hub_starts_traefik(site):
    assert site.proxy().trait_defaults("delivery") == "push"
    assert site.proxy(should_start=False).trait_defaults("delivery") == "store"


async def test_a_change_is_sent_alone_and_not_the_table(site, monkeypatch):
    proxy = await site.started(delivery="push")
    await asyncio.gather(*(proxy.add_route(spec, "http://127.0.0.1:1", {}) for spec in PATHS))
    sent = []
    send = plugin.send

    async def noted(api, session, method, body):
        sent.append((method, json.loads(body)))
        return await send(api, session, method, body)

    monkeypatch.setattr(plugin, "send", noted)
    await proxy.add_route("/user/new/", "http://127.0.0.1:2", {"user": "new"})
    await proxy.delete_route("/user/a/")
    [(one, added), (other, deleted)] = sent
    assert (one, other) == ("PATCH", "PATCH")
    assert (added["put"], added["delete"]) == ({"/user/new": {"t": "http://127.0.0.1:2", "k": "user"}}, [])
    assert (deleted["put"], deleted["delete"]) == ({}, ["/user/a"])


async def test_changes_that_come_together_go_out_together(site, monkeypatch):
    proxy = await site.started(delivery="push")
    batches = await count_commits(proxy, monkeypatch)
    await asyncio.gather(*(proxy.add_route(f"/user/{n}/", "http://127.0.0.1:1", {}) for n in range(200)))
    assert len(batches) <= 2
    async with told(proxy) as tell:
        assert (await tell()).routes == 200


async def test_a_new_traefik_serves_nothing(site):
    proxy = site.proxy(delivery="push")
    await proxy.control.open()
    proxy.control._watch = lambda replicas: None  # nobody tells it anything
    await proxy.start()
    async with told(proxy) as tell:
        assert (await tell()).served == Served()


async def test_data_may_be_none(site):
    """As with configurable-http-proxy."""
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), None)
    assert (await proxy.get_route("/user/a/"))["data"] == {}


async def test_users_are_told_to_come_again_while_there_is_no_table(site):
    proxy = site.proxy(delivery="push")
    await proxy.control.open()
    proxy.control._watch = lambda replicas: None  # nobody tells Traefik anything
    await proxy.start()
    status, _ = await site.client.get("/user/a/")
    assert status == 503


async def test_a_start_that_is_cancelled_leaves_nothing_open(site, monkeypatch):
    proxy = site.proxy(delivery="push")
    supervisor = proxy.control.local.supervisors[0]
    monkeypatch.setattr(supervisor, "_wait_for_api", asyncio.Event().wait)  # as of a Traefik that takes its time
    starting = asyncio.create_task(proxy.start())
    await until(lambda: supervisor._pid, "Traefik is not started")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not proxy.control.is_open
    assert not proxy.control.lease.is_held
