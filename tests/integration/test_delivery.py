"""The hub hands the table to Traefik (``KVProxy.delivery = "hub"``): the same routers, and what losses mean then."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import aiohttp
import pytest

from jhub_kvproxy import RouteNotReady
from jhub_kvproxy.routes import Pattern
from jhub_kvproxy.table import REVISION_KEY
from tests.hub import until
from tests.site import count_commits, is_served, leave
from tests.stores import on_every_store

NAMES = ["a", "a/named", "ab", "%2B", "a%40b", "%E4%B8%AD", "%22%60", *(f"student{number}" for number in range(60))]
PATHS = ["/", *(f"/user/{name}/" for name in NAMES)]
HOSTS = ["/", *(f"{name}.example.org/user/x/" for name in ("a", "ab", "abc", *(f"student{n}" for n in range(40))))]


async def ask(proxy, path):
    api = proxy._local.supervisors[0].api
    async with aiohttp.ClientSession(headers=api._headers) as session, session.get(api.url + path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


# Traefik shows them in what it read from keys and files, and uses them otherwise too (pkg/server/service/service.go).
DEFAULTS = {"strategy": "wrr", "passHostHeader": True, "responseForwarding": {"flushInterval": "100ms"}}


async def serves(proxy):
    """Traefik's own account of our routers and services, without who told it."""
    raw = json.dumps(await ask(proxy, "/api/rawdata"))
    served = json.loads(raw.replace(f"@{proxy._readiness._provider}", "@ours"))
    for service in served["services"].values():
        service.get("loadBalancer", {}).update(DEFAULTS)
    return {
        kind: {
            name: value
            for name, value in served[kind].items()
            if name.endswith("@ours") and not name.startswith(("kvproxy-api", "kvproxy-dots", "kvproxy-health"))
        }
        for kind in ("routers", "services")
    }


async def not_served(site, path):
    return not await is_served(site, path)


@on_every_store
@pytest.mark.parametrize("specs", [PATHS, HOSTS], ids=["paths", "hosts"])
async def test_traefik_gets_the_same_table_either_way(site, specs):
    served = []
    for delivery in ("store", "hub"):
        proxy = await site.started(host_routing=specs is HOSTS, delivery=delivery)
        await asyncio.gather(*(proxy.add_route(spec, f"http://127.0.0.1:1/{spec[-3:-1]}", {}) for spec in specs))
        served.append(await serves(proxy))
        await proxy.stop()
    assert len(served[0]["services"]) == len(specs)
    assert served[0] == served[1]


@on_every_store
async def test_the_store_holds_what_somebody_reads_there(site):
    kept = {}
    for delivery in ("hub", "store", "hub"):
        proxy = await site.started(delivery=delivery)
        await asyncio.gather(*(proxy.add_route(spec, "http://127.0.0.1:1", {}) for spec in PATHS))
        kept.setdefault(delivery, []).append(set((await proxy._backend.load()).keys))
        await proxy.stop()
    records = {f"routes/{Pattern.parse(spec).name}" for spec in PATHS}
    assert kept["hub"] == [records | {REVISION_KEY}] * 2
    [for_traefik] = kept["store"]
    assert for_traefik > records
    assert len(for_traefik) > 4 * len(records)


@on_every_store
async def test_changes_are_live_when_the_call_returns(site):
    proxy = await site.started(delivery="hub")
    one, two, hub = [await site.server(name) for name in ("one", "two", "hub")]
    await proxy.add_route("/", hub, {})
    for _ in range(3):
        await proxy.add_route("/user/a/", one, {})
        assert await site.client.server("/user/a/") == "one"
        await proxy.add_route("/user/a/", two, {"n": 1})
        assert await site.client.server("/user/a/") == "two"
        await proxy.delete_route("/user/a/")
        assert await site.client.server("/user/a/") == "hub"


async def test_a_load_balancer_is_told_when_the_table_is_served(site):
    await site.started(delivery="hub")
    url = f"http://127.0.0.1:{site.port}/_chp_healthz"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert (answer.status, await answer.text()) == (200, "OK")


async def test_a_traefik_that_is_started_again_has_its_routes_again(site):
    proxy = await site.started(delivery="hub")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    pid = proxy._local.supervisors[0]._pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: proxy._local.supervisors[0]._pid != pid, "Traefik was not started again")
    await site.client.close()
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/a/") == "a"


async def test_a_traefik_that_others_gave_a_table_has_ours_again(site):
    proxy = await site.started(delivery="hub")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    async with aiohttp.ClientSession() as session:
        await proxy._local.supervisors[0].api.hand(
            session, b'{"http": {"middlewares": {"x": {"stripPrefix": {}}}}}', 30
        )
    await until(lambda: not_served(site, "/user/a/"), "the other table was not taken")
    await until(lambda: is_served(site, "/user/a/"), "its routes were lost")


@pytest.mark.parametrize("store", ["etcd", "consul", "redis"], indirect=True)
async def test_users_do_not_notice_that_the_store_loses_the_table(site, monkeypatch):
    proxy = await site.started(delivery="hub")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    await proxy._backend.remove()
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/a/") == "a"
    assert await site.client.server("/user/b/") == "b"


async def test_the_next_hub_finds_the_table_handed_out(site, monkeypatch):
    first = await site.started(delivery="hub")
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = site.proxy(delivery="hub")
    made = []
    monkeypatch.setattr(second._feed, "_make", lambda: made.append(1))
    batches = await count_commits(second, monkeypatch)
    await second.start()
    assert second._local.supervisors[0].is_adopted
    assert list(await second.get_all_routes()) == ["/user/a/"]
    assert await site.client.server("/user/a/") == "a"
    assert (made, batches) == ([], [])


@pytest.mark.parametrize("deliveries", [("store", "hub"), ("hub", "store")], ids="-to-".join)
async def test_another_delivery_takes_over(site, deliveries):
    first = await site.started(delivery=deliveries[0])
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = await site.started(delivery=deliveries[1])
    assert not second._local.supervisors[0].is_adopted
    await site.client.close()
    assert await site.client.server("/user/a/") == "a"


async def test_a_replica_that_takes_no_tables_is_explained(site, caplog):
    store = await site.started()
    api = store._local.supervisors[0].api
    proxy = site.proxy(
        delivery="hub",
        should_start=False,
        traefik_api_urls=[api.url],
        traefik_api_username="kvproxy",
        traefik_api_password=store._local.supervisors[0]._password,
        ready_timeout=1,
        prefix="other",
    )
    with pytest.raises(RouteNotReady):
        await proxy.add_route("/user/a/", "http://127.0.0.1:1", {})
    assert "takes no tables (404 for /api/providers/rest)" in caplog.text
    assert caplog.text.count("takes no tables") == 1
