"""The hub sends the table to the plugin in Traefik (``KVProxy.delivery = "push"``)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from jhub_kvproxy import RouteNotReady
from jhub_kvproxy.push import plugin
from jhub_kvproxy.push.wire import Served
from jhub_kvproxy.routing import routes
from jhub_kvproxy.routing.records import REVISION, TRAEFIK_REVISION
from jhub_kvproxy.routing.revision import Revision
from jhub_kvproxy.routing.routes import Pattern
from jhub_kvproxy.traefik import binary
from tests.hub import until
from tests.servers import serving
from tests.site import count_commits, is_served, leave
from tests.stores import on_every_store

NAMES = ["a", "a/named", "ab", "%2B", "a%40b", "%E4%B8%AD", "%22%60", *(f"student{number}" for number in range(60))]
PATHS = ["/", *(f"/user/{name}/" for name in NAMES)]
HOSTS = ["/", *(f"{name}.example.org/user/x/" for name in ("a", "ab", "abc", *(f"student{n}" for n in range(40))))]


@asynccontextmanager
async def told(proxy, number=0):
    """Asks or tells the plugin of a Traefik that `proxy` started, as its hub does."""
    async with aiohttp.ClientSession() as session:

        async def tell(method=None, **message):
            api = proxy._local.supervisors[number].api
            if method is None:
                return await plugin.ask(api, session)
            return await plugin.send(api, session, method, json.dumps(message).encode())

        yield tell


async def not_served(site, path):
    return not await is_served(site, path)


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
        kept.setdefault(delivery, []).append(set((await proxy._backend.load()).keys))
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


async def test_a_load_balancer_is_told_when_the_table_is_served(site):
    await site.started(delivery="push")
    url = f"http://127.0.0.1:{site.port}/_chp_healthz"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert (answer.status, await answer.text()) == (200, "OK")


async def test_a_traefik_that_is_started_again_has_its_routes_again(site):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    pid = proxy._local.supervisors[0]._pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: proxy._local.supervisors[0]._pid != pid, "Traefik was not started again")
    await site.client.close()
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/a/") == "a"


async def test_a_hub_that_lost_its_lease_gives_its_own_traefik_the_table_again(site, monkeypatch):
    """As when the store is away for longer than the lease, and Traefik dies meanwhile."""
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    supervisor = proxy._local.supervisors[0]
    monkeypatch.setattr(type(proxy._lease), "is_held", False)
    pid = supervisor._pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: supervisor._pid != pid, "Traefik was not started again")
    await site.client.close()
    await until(lambda: served_again(site, "/user/a/"), "its routes were lost")


async def served_again(site, path):
    try:
        return await is_served(site, path)
    except OSError:
        await site.client.close()
        return False


async def test_the_table_of_other_options_is_replaced_though_its_revision_is_ours(site):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    async with told(proxy) as tell:
        await tell("PUT", revision=(await tell()).served.revision, form="another", put={})
        await until(lambda: is_served(site, "/user/a/"), "its routes were lost")


async def test_the_newer_of_two_hubs_keeps_a_traefik_and_the_older_says_so(site, caplog):
    """Two hubs on two prefixes were told of the same Traefik."""
    owner = await site.started(delivery="push")
    owner._pusher._owns_replicas = False  # as one that others start
    supervisor = owner._local.supervisors[0]
    others = {
        "should_start": False,
        "traefik_api_urls": [supervisor.api.url],
        "traefik_api_password": supervisor._password,
    }
    newer = site.proxy(delivery="push", prefix="-newer", ready_timeout=5, **others)
    await newer._ready()
    newer._writer._stored.revision = Revision(newer._writer.revision.writer, 1, "", 1 << 40).next()
    server = await site.server("newer")
    await newer.add_route("/user/b/", server, {})
    assert await site.client.server("/user/b/") == "newer"
    owner.ready_timeout = 1
    with pytest.raises(RouteNotReady, match="the newer table of another hub"):
        await owner.add_route("/user/a/", server, {})
    assert "has a newer table, of another hub" in caplog.text
    assert await site.client.server("/user/b/") == "newer"
    await newer.add_route("/user/c/", server, {})
    assert await site.client.server("/user/c/") == "newer"
    told_of = f"-{owner._writer.revision.writer}."
    assert len([line for line in caplog.messages if told_of in line.partition("take ours")[2]]) == 1


@pytest.mark.parametrize("store", ["etcd", "consul", "redis"], indirect=True)
async def test_users_do_not_notice_that_the_store_loses_the_table(site):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    await proxy._backend.remove()
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/a/") == "a"
    assert await site.client.server("/user/b/") == "b"


async def test_the_next_hub_finds_the_table_there(site, monkeypatch):
    first = await site.started(delivery="push")
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = site.proxy(delivery="push")
    sent = []
    monkeypatch.setattr(plugin, "send", lambda *message: sent.append(message))
    batches = await count_commits(second, monkeypatch)
    await second.start()
    assert second._local.supervisors[0].is_adopted
    assert list(await second.get_all_routes()) == ["/user/a/"]
    assert await site.client.server("/user/a/") == "a"
    assert (sent, batches) == ([], [])


async def test_the_next_hub_with_other_options_sends_the_table_again(site):
    first = await site.started(delivery="push")
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = await site.started(delivery="push", change_origin=["/user/a/"])
    assert second._local.supervisors[0].is_adopted
    _, said = await site.client.get("/user/a/", host="hub.example")
    assert said["headers"]["Host"].startswith("127.0.0.1:")


async def test_a_hub_whose_clock_is_behind_that_of_the_one_before_is_not_refused(site, monkeypatch):
    """And whose store was emptied meanwhile, so that nothing tells it of the other's revisions."""
    first = await site.started(delivery="push")
    await first.add_route("/user/a/", await site.server("a"), {})
    async with told(first) as tell:
        await tell("PUT", revision="ffffffffffff-another.7", form="any", put={})
    await leave(first)
    second = await site.started(delivery="push")
    assert second._local.supervisors[0].is_adopted
    await second.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/b/") == "b"
    assert await site.client.server("/user/a/") == "a"


@pytest.mark.parametrize("deliveries", [("store", "push"), ("push", "store")], ids="-to-".join)
async def test_another_delivery_takes_over(site, deliveries):
    first = await site.started(delivery=deliveries[0])
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = await site.started(delivery=deliveries[1])
    assert not second._local.supervisors[0].is_adopted
    await site.client.close()
    assert await site.client.server("/user/a/") == "a"


async def test_a_replica_without_the_plugin_is_explained(site, caplog):
    store = await site.started()
    api = store._local.supervisors[0].api
    proxy = site.proxy(
        delivery="push",
        should_start=False,
        traefik_api_urls=[api.url],
        traefik_api_username="kvproxy",
        traefik_api_password=store._local.supervisors[0]._password,
        ready_timeout=1,
        prefix="other",
    )
    with pytest.raises(RouteNotReady, match="does not have our plugin"):
        await proxy.add_route("/user/a/", "http://127.0.0.1:1", {})
    assert "does not have our plugin (404 for /kvproxy/table)" in caplog.text
    assert caplog.text.count("does not have our plugin") == 1


async def test_a_cut_off_or_senseless_message_changes_nothing(site):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    api = proxy._local.supervisors[0].api
    async with aiohttp.ClientSession() as session, told(proxy) as tell:
        before = (await tell()).served
        newest = Revision.read(before.revision).next(9).text
        whole = json.dumps({"revision": newest, "form": "x", "put": {"": {"t": "http://127.0.0.1:1"}}})
        wrong = [whole[:-1], whole[:20], "", "[]", "null", whole + "x", whole.replace("http:", "ftp:")]
        wrong += [
            json.dumps({"revision": newest, "form": "x"}),
            whole.replace(f'"{newest}"', '""'),
            whole.replace('"http://127.0.0.1:1"', "7"),
        ]
        for body in wrong:
            status, answer = await api.exchange(session, "PUT", plugin.TABLE, data=body.encode(), timeout=5)
            assert status == 400, body
            assert json.loads(answer)["error"]
            assert (await tell()).served == before
        assert await site.client.server("/user/a/") == "a"


async def test_an_older_revision_does_not_come_back(site):
    """As when an answer was lost, and the message comes late."""
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    async with told(proxy) as tell:
        served = (await tell()).served
        older = Revision.read(served.revision).next(-1).text
        answer = await tell("PUT", revision=older, form=served.form, put={})
        assert answer.refusal
        assert answer.served == served
        answer = await tell("PATCH", **{"from": older}, revision=served.revision, form=served.form, delete=["/user/a"])
        assert answer.refusal
        assert answer.served == served
    assert await site.client.server("/user/a/") == "a"


async def test_a_new_traefik_serves_nothing(site):
    proxy = site.proxy(delivery="push")
    await proxy._ready()
    proxy._watch = lambda replicas: None  # nobody tells it anything
    await proxy.start()
    async with told(proxy) as tell:
        assert (await tell()).served == Served()


async def test_a_wrong_password_is_explained_and_nothing_is_told(site, caplog):
    owner = await site.started(delivery="push")
    await owner.add_route("/user/a/", await site.server("a"), {})
    urls = [owner._local.supervisors[0].api.url]
    proxy = site.proxy(
        delivery="push",
        should_start=False,
        traefik_api_urls=urls,
        traefik_api_password="wrong",
        ready_timeout=1,
        prefix="other",
    )
    with pytest.raises(RouteNotReady, match="refuses our credential"):
        await proxy.add_route("/user/b/", "http://127.0.0.1:1", {})
    assert "wrong" not in caplog.text
    assert await site.client.server("/user/a/") == "a"


async def test_data_may_be_none(site):
    """As with configurable-http-proxy."""
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), None)
    assert (await proxy.get_route("/user/a/"))["data"] == {}


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_traefik_that_strangers_can_crash_is_named_once(site, monkeypatch, caplog, delivery):
    monkeypatch.setattr(binary, "_ADVISED", (99, 0, 0))
    proxy = await site.started(delivery=delivery)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    pid = proxy._local.supervisors[0]._pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: proxy._local.supervisors[0]._pid != pid, "Traefik was not started again")
    await proxy.add_route("/user/b/", await site.server("b"), {})
    assert caplog.text.count("CVE-2026-97032") == 1


async def test_a_traefik_that_another_hub_has_left_is_ours_when_it_was_started_again(site):
    """The other hub's table was newer; with it, Traefik has lost it."""
    owner = await site.started(delivery="push")
    await owner.add_route("/user/a/", await site.server("a"), {})
    async with told(owner) as tell:
        served = (await tell()).served
        owner._pusher._owns_replicas = False  # as of a Traefik that others start
        await tell("PUT", revision="ffffffffffff-another.7", form=served.form, put={})
        await until(lambda: owner._readiness.replicas[0].refusal, "the other table is not noticed")
    supervisor = owner._local.supervisors[0]
    pid = supervisor._pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: supervisor._pid != pid, "Traefik was not started again")
    await site.client.close()
    await until(lambda: served_again(site, "/user/a/"), "it is not given our table")


async def test_a_store_that_has_lost_the_last_changes_is_brought_past_them(site):
    """As after a power cut of a store that writes to its disk each second: Traefik serves more than the store has."""
    owner = await site.started(delivery="push")
    await owner.add_route("/user/a/", await site.server("a"), {})
    owner._pusher._owns_replicas = False
    async with told(owner) as tell:
        served = (await tell()).served
        later = Revision.read(served.revision).next(3).text
        await tell("PUT", revision=later, form=served.form, put={"/user/lost": {"t": "http://127.0.0.1:1"}})
        await until(lambda: is_served(site, "/user/a/"), "Traefik keeps what the store has lost")
        assert Revision.read((await tell()).served.revision).rank > Revision.read(later).rank


async def test_what_is_no_traefik_is_down(site, caplog):
    """A web server that answers everything: a wrong port, say."""

    async def anything(_):
        return web.json_response({})

    async with serving(anything) as url:
        for delivery in ("push", "store"):
            proxy = site.proxy(delivery=delivery, should_start=False, traefik_api_urls=[url], ready_timeout=1)
            with pytest.raises(RouteNotReady, match="does not answer as Traefik does"):
                await proxy.add_route("/user/a/", "http://127.0.0.1:1", {})
            await proxy.stop()
    assert "Traceback" not in caplog.text


BAD = {"/services/x": {"t": "http://[fe80::1%eth0]:80"}}


async def test_a_route_that_the_plugin_refuses_harms_no_other(site, monkeypatch, caplog):
    """Fake: a target that we take, and the plugin does not. We know of none."""
    monkeypatch.setattr(routes, "_check_target", lambda *_: None)
    proxy = await site.started(delivery="push")
    server = await site.server("a")
    await proxy.add_route("/user/a/", server, {})
    bad = proxy.add_route("/services/x/", BAD["/services/x"]["t"], {})
    others = (proxy.add_route(f"/user/{n}/", server, {}) for n in range(10))
    outcomes = await asyncio.gather(bad, *others, return_exceptions=True)
    assert outcomes[1:] == [None] * 10
    assert isinstance(outcomes[0], RouteNotReady)
    assert "its target is not a URL" in str(outcomes[0])
    assert await site.client.server("/user/9/") == "a"
    assert "/services/x/" not in await proxy.get_all_routes()
    # One that is in the store already, of an earlier hub's.
    await proxy._writer.put(routes.Route("/services/x/", BAD["/services/x"]["t"], {}), 5)
    await leave(proxy)
    os.kill(proxy._local.supervisors[0]._pid, signal.SIGKILL)
    second = await site.started(delivery="push")
    await site.client.close()
    assert await site.client.server("/user/a/") == "a"
    await second.delete_route("/user/a/")
    assert await site.client.server("/user/a/") is None
    assert "The route is left out; all others are served." in caplog.text


async def test_users_are_told_to_come_again_while_there_is_no_table(site):
    proxy = site.proxy(delivery="push")
    await proxy._ready()
    proxy._watch = lambda replicas: None  # nobody tells Traefik anything
    await proxy.start()
    status, _ = await site.client.get("/user/a/")
    assert status == 503


async def test_a_start_that_is_cancelled_leaves_nothing_open(site, monkeypatch):
    proxy = site.proxy(delivery="push")
    supervisor = proxy._local.supervisors[0]
    monkeypatch.setattr(supervisor, "_wait_for_api", asyncio.Event().wait)  # as of a Traefik that takes its time
    starting = asyncio.create_task(proxy.start())
    await until(lambda: supervisor._pid, "Traefik is not started")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not proxy._is_open
    assert not proxy._lease.is_held
