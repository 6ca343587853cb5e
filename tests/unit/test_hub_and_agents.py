"""A hub whose table agents bring to the Traefiks (``KVProxy.delivery = "agent"``): what it tells and asks them."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from aiohttp import web
from traitlets import TraitError
from traitlets.config import Config

from jhub_kvproxy import KVProxyError, RouteNotReady
from jhub_kvproxy.hub.gauges import GAUGES
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.options.chosen import settings_of
from jhub_kvproxy.push.replica import Standing
from jhub_kvproxy.routing.hub_options import HUB_OPTIONS, Claim, HubOptions
from jhub_kvproxy.routing.records import REVISION
from jhub_kvproxy.routing.routes import Pattern
from jhub_kvproxy.testing import MemoryBackend, flaky
from jhub_kvproxy.traefik import discovery
from servers.certificates import Authority
from servers.ports import free_port
from tests.fake_agents import TOKEN, FakeAgent
from tests.hub import until
from tests.hubs_in_memory import PREFIX, TARGET
from tests.servers import serving

#: Less than an agent may keep a question, and more than the hub needs to find out that it is frozen.
SOON = 15.0


@pytest.fixture
async def site():
    """Makes agents and hubs on one store, and sees to it that hubs leave no task behind."""
    before, name, agents, hubs = asyncio.all_tasks(), uuid4().hex, [], []
    table = MemoryBackend(name=name, prefix=PREFIX)._table

    async def agent(host="127.0.0.1", port=0, tls=None, **traits):
        made = FakeAgent(table.keys, PREFIX, **traits)
        agents.append(made)
        await made.start(host, port, tls)
        return made

    def hub(*agents, **traits):
        urls = [each.url if isinstance(each, FakeAgent) else each for each in agents]
        chosen = {
            "backend_class": MemoryBackend,
            "delivery": "agent",
            "agent_urls": urls,
            "agent_token": TOKEN,
            "ready_timeout": SOON,
            **traits,
        }
        app = chosen.pop("app", None)
        should_start = chosen.pop("should_start", False)
        config = Config({"KVProxy": chosen, "MemoryBackend": {"name": name}})
        made = KVProxy(config=config, should_start=should_start, app=app)
        hubs.append(made)
        return made

    yield SimpleNamespace(agent=agent, hub=hub, table=table)
    for made in hubs:
        await made.control.stop()
    for _ in range(5):  # what closes a connection
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not {task for task in left if "RequestHandler" not in repr(task)}
    for made in agents:
        await made.close()


def replica(hub, agent):
    [found] = [each for each in hub.control.readiness.replicas if each.api.url == agent.url]
    return found


async def test_a_change_returns_once_every_agent_serves_it(site):
    one, two = await site.agent(), await site.agent()
    hub = site.hub(one, two)
    await hub.add_route("/", TARGET, {"hub": True})
    two.lags = True
    adding = asyncio.create_task(hub.add_route("/user/a/", TARGET, {}))
    await until(lambda: one.state().revision == site.table.keys[REVISION], "nothing is committed")
    await until(lambda: replica(hub, one).revision == site.table.keys[REVISION], "one does not tell")
    assert not adding.done()
    two.lags = False
    await adding
    assert set(await hub.get_all_routes()) == {"/", "/user/a/"}
    await hub.delete_route("/user/a/")
    assert set(await hub.get_all_routes()) == {"/"}


async def test_a_change_that_no_agent_takes_in_says_what_to_do(site):
    """Nobody is ahead of the others then, so none is logged as the one that lags."""
    agent = await site.agent()
    hub = site.hub(agent, ready_timeout=0.5)
    await hub.add_route("/", TARGET, {})
    agent.lags = True
    with pytest.raises(RouteNotReady, match=r"serves revision .*\. Look at the log of its agent"):
        await hub.add_route("/user/a/", TARGET, {})


async def test_an_agent_that_takes_long_is_asked_once_more_and_not_again_and_again(site):
    agent = await site.agent()
    hub = site.hub(agent)
    await hub.add_route("/", TARGET, {})
    agent.lags = True
    adding = asyncio.create_task(hub.add_route("/user/a/", TARGET, {}))
    asked = agent.asked_at_once
    await until(lambda: agent.asked_at_once > asked, "it is not asked whether it is there")
    count = len(agent.asked)
    await asyncio.sleep(1)
    assert len(agent.asked) == count
    agent.lags = False
    await adding


async def test_a_hub_that_has_nothing_to_do_asks_nothing(site):
    agent = await site.agent()
    hub = site.hub(agent)
    await hub.add_route("/", TARGET, {})
    await until(lambda: agent.waits, "nobody listens")
    await asyncio.sleep(0.1)
    count = len(agent.asked)
    await asyncio.sleep(1)
    assert len(agent.asked) == count


async def test_a_route_that_an_agent_refuses_is_undone(site):
    one, two = await site.agent(), await site.agent()
    hub = site.hub(one, two)
    await hub.add_route("/", TARGET, {})
    two.refused["/user/a/"] = "the plugin takes no such key."
    with pytest.raises(
        RouteNotReady, match=rf"'/user/a/' was not added.*{two.url} .*: the plugin takes no such key\.$"
    ):
        await hub.add_route("/user/a/", TARGET, {})
    assert set(await hub.get_all_routes()) == {"/"}
    assert not [key for key in site.table.keys if "user" in key]
    await hub.add_route("/user/b/", TARGET, {})


async def test_a_frozen_agent_is_not_waited_for_if_there_is_another(site, caplog):
    one, two = await site.agent(), await site.agent()
    hub = site.hub(one, two)
    await hub.add_route("/", TARGET, {})
    await until(lambda: two.waits, "nobody listens")
    two.is_frozen = True
    await hub.add_route("/user/a/", TARGET, {})
    assert f"The agent at {two.url} cannot be reached: no answer in time" in caplog.text
    assert replica(hub, two).standing is Standing.DOWN
    two.is_frozen = False
    await until(lambda: replica(hub, two).standing is Standing.AWAITED, "it is not waited for again")


async def test_an_agent_that_is_frozen_from_the_beginning_is_not_waited_for(site):
    one, two = await site.agent(), await site.agent()
    two.is_frozen = True
    await site.hub(one, two).add_route("/user/a/", TARGET, {})


async def test_an_agent_may_be_started_again(site, caplog):
    caplog.set_level(logging.INFO)
    one, two = await site.agent(), await site.agent()
    hub = site.hub(one, two)
    await hub.add_route("/", TARGET, {})
    await two.close()
    await hub.add_route("/user/a/", TARGET, {})
    await until(lambda: replica(hub, two).standing is Standing.DOWN, "nobody notices that it has ended")
    assert f"The agent at {two.url} cannot be reached: connection refused" in caplog.text
    await two.start(port=urlsplit(two.url).port)
    await until(lambda: replica(hub, two).standing is Standing.AWAITED, "it is not waited for again")
    two.lags = True
    adding = asyncio.create_task(hub.add_route("/user/b/", TARGET, {}))
    await until(lambda: replica(hub, one).revision == site.table.keys[REVISION], "one does not tell")
    assert not adding.done()
    two.lags = False
    await adding


async def test_a_connection_that_is_closed_on_the_way_is_no_failure(site, caplog):
    agent = await site.agent()
    hub = site.hub(agent)
    agent.cuts = True
    await hub.add_route("/", TARGET, {})
    await until(lambda: agent.waits > 3, "it does not listen again")
    await hub.add_route("/user/a/", TARGET, {})
    assert "cannot be" not in caplog.text


@pytest.mark.parametrize(
    ("agent_traits", "hub_traits", "words"),
    [
        ({"token": "another"}, {}, r"refuses our credential \(401\); look at KVProxy\.agent_token"),
        ({}, {"prefix": "another"}, "says: This agent follows no 'another'."),
    ],
)
async def test_an_agent_that_knows_us_not_is_said_to(site, agent_traits, hub_traits, words):
    agent = await site.agent(**agent_traits)
    hub = site.hub(agent, ready_timeout=1, **hub_traits)
    with pytest.raises(RouteNotReady, match=rf"The agent at {agent.url} {words}"):
        await hub.add_route("/", TARGET, {})
    assert not await hub.get_all_routes()


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("trouble", "Traefik at http://127.0.0.1:8099 cannot be reached", "says: Traefik at .* cannot be reached"),
        ("traefik", "3.6.0", r"is Traefik 3\.6\.0, but .* is needed"),
    ],
)
async def test_what_is_wrong_with_the_traefik_is_said_until_it_is_over(site, trait, value, words):
    agent = await site.agent()
    hub = site.hub(agent, ready_timeout=1)
    good = getattr(agent, trait)
    setattr(agent, trait, value)
    for _ in range(2):
        with pytest.raises(RouteNotReady, match=words):
            await hub.add_route("/", TARGET, {})
        await hub.delete_route("/")  # another revision, of which it tells
    setattr(agent, trait, good)
    await until(lambda: replica(hub, agent).standing is Standing.AWAITED, "it is not waited for")
    await hub.add_route("/", TARGET, {})


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'"x"', b"[" * 100_000, b'{"tag": 1, "refused": null}'])
async def test_what_is_no_agent_is_named(site, body, status):
    async def odd(_):
        return web.Response(body=body, status=status)

    words = "does not answer as an agent does" if status == 200 else f"answers {status} for /revision; is it an agent?"
    async with serving(odd) as url:
        hub = site.hub(url, ready_timeout=0.5)
        with pytest.raises(RouteNotReady, match=re.escape(f"The agent at {url} {words}")):
            await hub.add_route("/", TARGET, {})
        await hub.control.stop()


async def test_a_name_may_stand_for_several_agents(site, monkeypatch):
    addresses = ["127.0.0.1", "127.0.0.2"]

    async def lookup(_):
        return list(addresses)

    monkeypatch.setattr(discovery, "lookup", lookup)
    monkeypatch.setattr(discovery, "_INTERVAL", 0.05)
    port = free_port()
    agents = [await site.agent(host, port) for host in addresses]
    hub = site.hub(f"http://agents.test:{port}")
    await hub.add_route("/", TARGET, {})
    assert all(agent.asked for agent in agents)
    agents.append(await site.agent("127.0.0.3", port))
    addresses.append("127.0.0.3")
    await until(lambda: len(hub.control.readiness.replicas) == 3, "it does not join")
    del addresses[0]
    await until(lambda: len(hub.control.readiness.replicas) == 2, "it does not leave")
    agents[0].lags = True
    await hub.add_route("/user/a/", TARGET, {})


async def test_agents_with_tls(site, tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*authority.issue("agent"))
    agent = await site.agent(tls=tls)
    await site.hub(agent, agent_ca_file=authority.ca_file).add_route("/", TARGET, {})
    hub = site.hub(agent, ready_timeout=0.5, lease_seconds=0)
    with pytest.raises(RouteNotReady, match="certificate verify failed"):
        await hub.add_route("/user/a/", TARGET, {})


def served(hub):
    return [answer.served.revision for answer in hub.control.delivery.answers.values()]


async def test_the_options_that_agents_need_are_in_the_store(site):
    agent = await site.agent()
    hub = site.hub(agent, strip_prefix=["/services/x/"])
    await hub.add_route("/", TARGET, {})
    told = HubOptions.from_record(site.table.keys[HUB_OPTIONS])
    assert told.policy.strip_prefix == frozenset([Pattern.parse("/services/x/")])
    assert told.claim == Claim("/")
    await hub.control.close()
    revision = site.table.keys[REVISION]

    # By other options: what an agent has made of the old ones does not count.
    agent.lags = True
    other = site.hub(agent)
    adding = asyncio.create_task(other.add_route("/", TARGET, {}))
    await until(lambda: site.table.keys[REVISION] != revision, "the options are not committed")
    agent.keys = {**site.table.keys, HUB_OPTIONS: told.to_record()}
    agent.lags = False
    await until(lambda: served(other) == [site.table.keys[REVISION]], "it does not tell")
    assert not adding.done()
    agent.keys = site.table.keys
    await adding
    assert HubOptions.from_record(site.table.keys[HUB_OPTIONS]).policy.strip_prefix is False
    await other.control.close()

    # A hub that pushes needs no agent.
    pushing = site.hub(delivery="push", traefik_api_urls=["http://127.0.0.1:1"])
    await pushing.control.open()
    assert HUB_OPTIONS not in site.table.keys


@pytest.mark.parametrize(
    ("base_url", "subdomain_host", "claim"),
    [
        ("/", "", Claim("/")),
        ("/b/", "", Claim("/b/")),
        ("/", "https://Hub.example.org:8443", Claim("/", "hub.example.org")),
        ("/b/", "http://hüb.example.org", Claim("/", "xn--hb-xka.example.org")),
    ],
)
async def test_the_place_that_is_the_hubs_own(base_url, subdomain_host, claim):
    app = SimpleNamespace(
        base_url=base_url, subdomain_host=subdomain_host, trusted_downstream_ips=[], internal_ssl=False
    )
    hub = KVProxy(backend_class=MemoryBackend, should_start=False)
    hub.app = app
    assert settings_of(hub).claim == claim


async def test_what_must_be_set_is_said_before_anything_is_opened(site, monkeypatch, tmp_path):
    monkeypatch.delenv("KVPROXY_AGENT_TOKEN", raising=False)
    url = "http://127.0.0.1:1"
    for traits, words in (
        ({"should_start": True}, "set KVProxy.should_start = False"),
        ({"agent_urls": []}, "KVProxy.agent_urls must name the agent beside each Traefik"),
        ({"agent_token": ""}, "set KVPROXY_AGENT_TOKEN in the environment of the Hub, or KVProxy.agent_token"),
        ({"agent_ca_file": str(tmp_path / "none.pem")}, "agent_ca_file = .* cannot be used: No such file"),
        ({"agent_urls": ["http://me:s3cret@127.0.0.1:1"]}, "a user name in it, .* set KVProxy.agent_token"),
    ):
        hub = site.hub(url, **traits)
        with pytest.raises(KVProxyError, match=words) as refused:
            await hub.get_all_routes()
        assert "s3cret" not in str(refused.value)
        assert not hub.control.is_open
        assert site.table.lease is None
    with pytest.raises(TraitError, match=r"write it like http://10\.0\.0\.1:8098"):
        KVProxy(agent_urls=["10.0.0.1:8098"])


@pytest.mark.parametrize(
    ("traits", "delivery"),
    [
        ({"should_start": True}, "push"),
        ({"should_start": True, "agent_urls": ["http://a:1"]}, "push"),
        ({"should_start": False, "agent_urls": ["http://a:1"]}, "agent"),
        ({"should_start": False, "agent_urls": ["http://a:1"], "traefik_api_urls": ["http://a:2"]}, "store"),
        ({"should_start": False, "traefik_api_urls": ["http://a:2"]}, "store"),
        ({"should_start": False}, "store"),
    ],
)
def test_the_default_way(traits, delivery):
    assert KVProxy(**traits).delivery == delivery


def test_old_names_of_options_and_of_the_variable_go_on_working(monkeypatch, caplog):
    old = KVProxy(config=Config({"KVProxy": {"activity_urls": ["http://a:1"], "activity_token": "x"}}))
    assert (old.agent_urls, old.agent_token) == (["http://a:1"], "x")
    assert "c.KVProxy.activity_urls is now c.KVProxy.agent_urls." in caplog.text
    caplog.clear()
    monkeypatch.setenv("KVPROXY_ACTIVITY_TOKEN", "old")
    monkeypatch.delenv("KVPROXY_AGENT_TOKEN", raising=False)
    assert KVProxy().agent_token == "old"
    warning = "The environment variable KVPROXY_ACTIVITY_TOKEN is now KVPROXY_AGENT_TOKEN. jhub-kvproxy 0.3.0 drops"
    assert warning in caplog.text
    caplog.clear()
    monkeypatch.setenv("KVPROXY_AGENT_TOKEN", "new")
    assert KVProxy().agent_token == "new"
    assert not caplog.text


async def test_agents_tell_when_routes_were_used(site):
    one, two = await site.agent(), await site.agent()
    hub = site.hub(one, two, activity=True)
    for name in ("a", "b", "c"):
        await hub.add_route(f"/user/{name}/", TARGET, {})
    hub.control.activity._used.clear()
    one.ages, two.ages = {"/user/a": 100.0, "/user/b": 50.0}, {"/user/b": 10_000.0}
    used = {spec: route["data"].get("last_activity") for spec, route in (await hub.get_all_routes()).items()}
    assert used["/user/a/"] < used["/user/b/"]
    assert used["/user/c/"] is None


async def test_the_metrics_tell_what_agents_serve(site):
    agent = await site.agent()
    hub = site.hub(agent)
    for name in ("a", "b"):
        await hub.add_route(f"/user/{name}/", TARGET, {})
    await until(lambda: hub.control.delivery.answers, "it does not answer")
    found = {
        (sample.name, sample.labels.get("kind")): sample.value
        for metric in GAUGES.collect()
        for sample in metric.samples
        if sample.labels.get("replica") == agent.url
    }
    assert found["kvproxy_replica_routes", None] == 2
    assert found["kvproxy_replica_up", None] == 1
    assert found["kvproxy_requests_total", "user"] == 7
    assert found["kvproxy_replica_revision", None] == hub.control.writer.revision.number


async def test_a_commit_whose_answer_is_lost_is_live_once_the_agent_serves_a_later_one(site):
    agent = await site.agent()
    hub = site.hub(agent, backend_class=flaky(MemoryBackend))
    await hub.add_route("/", TARGET, {})
    type(hub.backend).faults.append("after")
    await hub.add_route("/user/a/", TARGET, {})
    assert agent.state().routes == 2
    assert agent.state().revision == hub.control.writer.revision.text
