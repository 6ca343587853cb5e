"""Several Traefiks, and what happens when they fail. The short form of docs/explanation/high-availability.md."""

from __future__ import annotations

import asyncio
import shutil
import ssl

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from jhub_kvproxy import RouteNotReady, TraefikError
from jhub_kvproxy.push import replica
from jhub_kvproxy.traefik import discovery
from jhub_kvproxy.traefik.api import TraefikAPI
from jhub_kvproxy.traefik.certificate import self_signed
from servers.consul import ConsulServer
from servers.etcd import EtcdServer
from servers.ports import free_port
from servers.redis import RedisServer
from tests.hub import answers, until
from tests.replicas import Replica
from tests.servers import serving
from tests.stores import Store

on_two_stores = pytest.mark.parametrize("store", ["toml", "etcd"], indirect=True)


@pytest.fixture
def ended():
    """A list of replicas that are ended with the test."""
    replicas: list[Replica] = []
    yield replicas
    for each in replicas:
        each.kill()


@pytest.fixture
async def three(site, ended):
    """Three replicas that serve the table of a site, not started by the hub."""
    await make_directories(site)
    ended += [Replica(site.directory / "replicas", provider(site)) for _ in range(3)]
    for each in ended:
        each.launch()
    return ended


def provider(site):
    return site.proxy().backend.traefik_provider_config()


async def hub_of(site, replicas, **traits):
    """A proxy for replicas that others start, when all of them serve its table."""
    urls = [each.api_url for each in replicas]
    proxy = site.proxy(should_start=False, traefik_api_urls=urls, **traits)
    await proxy.add_route("/", await site.server("hub"), {})
    await until(lambda: all_serve(replicas, "/", "hub"), "not all replicas serve the table")
    await until(
        lambda: {r.standing for r in proxy.control.readiness._replicas} == {replica.Standing.AWAITED}, "not all up"
    )
    return proxy


async def next_failure(replica):
    """Wait until it has been asked once more in vain, from now on."""
    looked, failed = asyncio.Event(), replica.failed

    def noted(why):
        failed(why)
        looked.set()

    replica.failed = noted
    await looked.wait()
    replica.failed = failed


async def all_serve(replicas, path, name):
    return [await each.server(path) for each in replicas] == [name] * len(replicas)


@on_two_stores
async def test_a_replica_that_is_killed_is_reported_and_waited_for_again_when_it_is_back(site, three, caplog):
    caplog.set_level("INFO")
    proxy = await hub_of(site, three)
    caplog.clear()
    server = await site.server("a")
    three[0].kill()
    for number in range(5):
        await proxy.add_route(f"/user/{number}/", server, {})
        assert await all_serve(three[1:], f"/user/{number}/", "a")
    for _ in range(3):
        await next_failure(proxy.control.readiness._replicas[0])
    assert caplog.text.count(f"{three[0].api_url} cannot be reached") == 1
    three[0].launch()
    await until(lambda: "; route changes wait for it" in caplog.text, "the return is not reported")
    await proxy.add_route("/user/later/", server, {})
    assert await all_serve(three, "/user/later/", "a")
    assert caplog.text.count("; route changes") == 2


async def test_a_frozen_replica_delays_one_change_and_no_other(site, three, caplog):
    caplog.set_level("INFO")
    proxy = await hub_of(site, three, rebuild_share=1.0)
    caplog.clear()
    server = await site.server("a")
    three[1].freeze()
    await proxy.add_route("/user/first/", server, {})
    assert f"{three[1].api_url} cannot be reached: no answer in time" in caplog.text
    # Less than the time limit of a question, which therefore is in nobody's way.
    proxy.control.changes.timeout = 2.5
    for number in range(5):
        await proxy.add_route(f"/user/{number}/", server, {})
        await proxy.delete_route(f"/user/{number}/")
    assert caplog.text.count("; route changes do not wait") == 1
    three[1].thaw()
    await until(lambda: "; route changes wait for it" in caplog.text, "its return is not reported")
    proxy.control.changes.timeout = 30
    await proxy.add_route("/user/later/", server, {})
    assert await all_serve(three, "/user/later/", "a")


@pytest.fixture
async def stuck(site, ended):
    """Two replicas, the second on a copy of the table that nobody keeps up."""
    [hers, copy] = site.directory / "table" / site.store.prefix / "traefik", site.directory / "copy"
    copy.mkdir()
    ended += [
        Replica(site.directory / "replicas", {"file": {"directory": str(directory)}}) for directory in (hers, copy)
    ]

    def keep_up():
        new = copy / ".new"
        shutil.copy(hers / "routes.toml", new)
        new.rename(copy / "routes.toml")

    return keep_up


async def make_directories(site):
    proxy = site.proxy()
    await proxy.get_all_routes()
    await proxy.stop()


async def test_a_replica_that_stays_behind_is_named_and_then_holds_up_nobody(site, stuck, ended, caplog, monkeypatch):
    caplog.set_level("INFO")
    provider(site)
    await make_directories(site)
    for each in ended:
        each.launch()
    urls = [each.api_url for each in ended]
    proxy = site.proxy(should_start=False, traefik_api_urls=urls, rebuild_share=1.0)
    await proxy.get_all_routes()
    stuck()
    server = await site.server("a")
    await until(lambda: all(r.revision for r in proxy.control.readiness._replicas), "not all replicas serve the table")
    caplog.clear()
    stale = proxy.control.readiness._replicas[1].revision
    proxy.control.changes.timeout = 1
    with pytest.raises(RouteNotReady, match=rf"{urls[1]} serves revision {stale}"):
        await proxy.add_route("/user/early/", server, {})
    monkeypatch.setattr(replica, "LAG_LIMIT", 0.5)
    proxy.control.changes.timeout = 30
    for number in range(5):
        await proxy.add_route(f"/user/{number}/", server, {})
        assert await ended[0].server(f"/user/{number}/") == "a"
    assert caplog.text.count("; route changes do not wait") == 1
    assert f"{urls[1]} serves revision {stale}, and has not taken in revision" in caplog.text
    assert "start that Traefik again: it hears of no change" in caplog.text
    stuck()
    await until(lambda: "; route changes wait for it" in caplog.text, "it is not seen to have caught up")
    assert await ended[1].server("/user/4/") == "a"
    assert caplog.text.count("; route changes") == 2
    # The last one that is up is waited for, however far behind.
    await proxy.add_route("/user/more/", server, {})
    assert proxy.control.readiness._replicas[1].standing is replica.Standing.LAGGING
    ended[0].kill()
    proxy.control.changes.timeout = 2
    with pytest.raises(RouteNotReady, match=rf"cannot be reached.*{urls[1]} serves revision"):
        await proxy.add_route("/user/late/", server, {})
    with pytest.raises(RouteNotReady):
        await proxy.delete_route("/user/0/")


async def test_one_that_joins_with_an_old_table_is_waited_for_at_first(site, stuck, ended, monkeypatch):
    monkeypatch.setattr(replica, "JOIN_LIMIT", 1000)
    await make_directories(site)
    first, second = ended
    first.launch()
    proxy = site.proxy(should_start=False, traefik_api_urls=[first.api_url, second.api_url], rebuild_share=1.0)
    server = await site.server("a")
    await proxy.add_route("/user/old/", server, {})
    stuck()
    await proxy.add_route("/user/newer/", server, {})
    second.launch()
    await until(lambda: proxy.control.readiness._replicas[1].is_joining, "it is not seen to join")
    adding = asyncio.create_task(proxy.add_route("/user/new/", server, {}))
    await until(lambda: all_serve([first], "/user/new/", "a"), "the first replica does not serve the route")
    assert not adding.done()
    stuck()
    await adding
    assert await second.server("/user/new/") == "a"


async def test_a_name_stands_for_all_its_addresses(site, ended, caplog, monkeypatch):
    """Replicas on 127.0.0.1 to .3, one port; the name is a fake's, because this machine has no DNS to write to."""
    caplog.set_level("INFO")
    monkeypatch.setattr(discovery, "_INTERVAL", 0.2)
    names = FakeNames(monkeypatch)
    port = free_port()
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    table = provider(site)
    ended += [Replica(site.directory / "replicas", table, host=host, api_port=port) for host in hosts]
    first, second, third = ended
    await make_directories(site)
    for each in (first, second):
        each.launch()
    proxy = site.proxy(should_start=False, traefik_api_urls=[f"http://traefik.test:{port}"])
    server = await site.server("a")
    names.addresses = hosts[:2]
    await proxy.add_route("/", server, {})

    def standings():
        return [(r.api.name, r.standing.name) for r in proxy.control.readiness._replicas]

    def awaited(*addresses):
        return [(f"http://traefik.test:{port} at {address}", "AWAITED") for address in addresses]

    await until(lambda: standings() == awaited(*hosts[:2]), "the two are not both found")
    names.addresses = hosts
    await until(lambda: f"{hosts[2]} cannot be reached" in caplog.text, "the third is not found")
    await proxy.add_route("/user/a/", server, {})
    third.launch()
    await until(lambda: standings() == awaited(*hosts), "the third does not join")
    await proxy.add_route("/user/b/", server, {})
    assert await all_serve(ended, "/user/b/", "a")
    first.kill()
    names.addresses = hosts[1:]
    await until(lambda: standings() == awaited(*hosts[1:]), "the first does not leave")
    # The name server being away takes nobody's replicas away.
    names.addresses = []
    names.asked.clear()
    await names.asked.wait()
    await proxy.add_route("/user/c/", server, {})
    assert await all_serve([second, third], "/user/c/", "a")
    assert standings() == awaited(*hosts[1:])
    assert f"at {hosts[0]} has left" in caplog.text


class FakeNames:
    """Fake: answers each question for a name with :attr:`addresses`; with none, as when there is no name server."""

    def __init__(self, monkeypatch):
        self.addresses: list[str] = []
        self.asked = asyncio.Event()
        monkeypatch.setattr(discovery, "lookup", self._lookup)

    async def _lookup(self, host):
        self.asked.set()
        if not self.addresses:
            raise OSError("Temporary failure in name resolution")
        return self.addresses


async def test_a_certificate_must_be_for_the_name_and_not_for_the_address(tmp_path):
    """The server is a stand-in, which tells what it was asked for."""
    for name, content in zip(("cert", "key"), self_signed("traefik.test"), strict=True):
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    asked = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)

    async def version(request):
        asked.append(request.headers["Host"])
        return web.json_response({"Version": "3.7.15"})

    trusting = ssl.create_default_context(cafile=tmp_path / "cert")
    async with (
        serving(version, context, host="127.0.0.2") as url,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as session,
    ):
        port = URL(url).port
        api = TraefikAPI(f"https://traefik.test:{port}", address="127.0.0.2")
        assert await api.version(session) == "3.7.15"
        assert asked == ["traefik.test", f"traefik.test:{port}"]
        refused = rf"https://other.test:{port} at 127.0.0.2 cannot be reached.*CERTIF"
        with pytest.raises(TraefikError, match=refused):
            await TraefikAPI(f"https://other.test:{port}", address="127.0.0.2").version(session)


@pytest.mark.parametrize(
    ("answers", "replicas"),
    [
        (["10.0.0.2", "10.0.0.1", "10.0.0.1"], ("10.0.0.1", "10.0.0.2")),
        (["10.0.0.1"], ("",)),
        (["::1", "127.0.0.1"], ("",)),
        (["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2"], ("10.0.0.1", "10.0.0.2")),
        (["fd00::1", "fd00::2", "10.0.0.1"], ("fd00::1", "fd00::2")),
    ],
)
def test_which_addresses_are_replicas(answers, replicas):
    assert discovery._addresses(answers) == replicas


@pytest.mark.parametrize("kind", ["etcd", "consul", "redis"])
async def test_a_traefik_that_starts_before_its_store_serves_the_table_when_it_comes(kind, tmp_path, site, ended):
    server = {"etcd": EtcdServer, "consul": ConsulServer, "redis": RedisServer}[kind](tmp_path / "store")
    site.store = Store(kind, server.traits)
    early = Replica(tmp_path, provider(site))
    early.launch()
    ended.append(early)
    await until(lambda: answers(f"{early.api_url}/api/overview"), "Traefik does not start without its store")
    server.start()
    try:
        await hub_of(site, [early])
    finally:
        server.kill()
