"""``last_activity`` in the routes (``KVProxy.activity``): what counts as use, with real connections through Traefik."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp
import pytest
from jupyterhub.utils import utcnow

from jhub_kvproxy import KVProxyError
from jhub_kvproxy.activity.tracker import Activity
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.traefik.discovery import Discovery
from jhub_kvproxy.traefik.ports import is_free
from servers.ports import free_port
from servers.process import Process
from tests.activity import a_tick_ago, later, now, time_of, used, websocket
from tests.hub import until
from tests.servers import Client, user_server
from tests.site import count_commits, leave

#: Serves HTTP/1.0, and so closes each connection with its answer.
CLOSING_SERVER = (
    "import http.server, sys; http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]))"
)


def ask_anew(proxy):
    """Within a second, the kernel is not asked again."""
    proxy.control.activity._asked_at = float("-inf")


@contextmanager
def closing_server(directory):
    port = free_port()
    command = [sys.executable, "-c", CLOSING_SERVER, str(port)]
    with Process("the closing server", command, directory / "server.log", port=port, cwd=directory):
        yield f"http://127.0.0.1:{port}"


async def test_without_it_routes_have_no_last_activity(site):
    proxy = await site.started()
    await proxy.add_route("/user/a/", await site.server("a"), {"user": "a", "last_activity": "mine"})
    assert await site.client.server("/user/a/") == "a"
    assert (await proxy.get_all_routes())["/user/a/"]["data"] == {"user": "a", "last_activity": "mine"}


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_request_is_a_use_of_its_route_only(site, delivery):
    proxy = await site.started(activity=True, delivery=delivery)
    before = await a_tick_ago()
    for name in ("a", "b"):
        await proxy.add_route(f"/user/{name}/", await site.server(name), {"user": name})
    added = {name: await used(proxy, f"/user/{name}/") for name in ("a", "b")}
    assert all(time.timestamp() > before.timestamp() - 1 for time in added.values())
    asked = await a_tick_ago()
    assert await site.client.server("/user/a/") == "a"
    await later(proxy, max(asked, added["a"]))
    assert await used(proxy) <= now()
    assert await used(proxy, "/user/b/") == added["b"]
    assert time_of(await proxy.get_route("/user/a/")) > asked


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_use_is_no_later_than_now_when_the_clock_is_set_back(site, delivery, monkeypatch):
    proxy = await site.started(activity=True, delivery=delivery)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    added, time_of_day = await used(proxy), time.time
    assert await site.client.server("/user/a/") == "a"
    await later(proxy, added)
    for hours in (-2, 2, 0):
        monkeypatch.setattr(time, "time", lambda hours=hours: time_of_day() + hours * 3600)
        for _ in range(2):
            ask_anew(proxy)
            assert time.time() - 3600 < (await used(proxy)).timestamp() <= time.time()


async def test_a_request_is_a_use_when_the_server_closes_its_connection_at_once(site, tmp_path):
    proxy = await site.started(activity=True)
    with closing_server(tmp_path) as url:
        await proxy.add_route("/user/a/", url, {})
        added = max(await used(proxy), await a_tick_ago())
        await site.client.get("/user/a/")
        await later(proxy, added)


async def test_data_on_an_open_websocket_is_a_use_either_way(site):
    proxy = await site.started(activity=True, delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    async with websocket(site) as ws:
        for _ in range(2):
            before = await a_tick_ago()
            await ws.send_str("x")
            assert await ws.receive_str() == "a: x"
            await later(proxy, before)
        idle = await used(proxy)
        await asyncio.sleep(0.5)
        ask_anew(proxy)
        assert (await used(proxy) - idle).total_seconds() < 0.25
        assert not ws.closed


async def test_a_long_download_is_a_use_while_it_goes_on(site):
    proxy = await site.started(activity=True, delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    url = f"http://127.0.0.1:{site.port}/user/a/stream"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        await answer.content.readline()
        since = await a_tick_ago()
        await answer.content.readline()
        await later(proxy, since)


async def test_a_request_that_no_server_answers_is_no_use(site):
    proxy = await site.started(activity=True, delivery="push")
    await proxy.add_route("/user/a/", f"http://127.0.0.1:{free_port()}", {})
    added = await used(proxy)
    status, _ = await site.client.get("/user/a/")
    assert status >= 500
    ask_anew(proxy)
    assert await used(proxy) == added


async def test_each_of_several_replicas_counts(site):
    while not is_free("127.0.0.1", site.port + 1):
        site.port = free_port()
    proxy = await site.started(activity=True, delivery="push", local_replicas=2)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    for port in (site.port, site.port + 1):
        client, before = Client(port), await a_tick_ago()
        assert await client.server("/user/a/") == "a"
        await later(proxy, before)
        await client.close()


async def test_an_adopted_traefik_counts_and_old_routes_begin_without(site):
    first = await site.started(activity=True, delivery="push")
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = await site.started(activity=True, delivery="push")
    assert "last_activity" not in (await second.get_all_routes())["/user/a/"]["data"]
    before = await a_tick_ago()
    assert await site.client.server("/user/a/") == "a"
    await until(lambda: _has_it(second), "the use was not seen")
    assert await used(second) > before


async def _has_it(proxy):
    return "last_activity" in (await proxy.get_all_routes())["/user/a/"]["data"]


async def test_a_target_with_a_host_name_is_looked_up(site):
    proxy = await site.started(activity=True, delivery="push")
    url = (await site.server("a")).replace("127.0.0.1", "localhost")
    await proxy.add_route("/user/a/", url, {})
    before = await a_tick_ago()
    assert await site.client.server("/user/a/") == "a"
    await later(proxy, before)


async def test_routes_with_one_target_are_used_each_for_itself(site):
    proxy = await site.started(activity=True, delivery="push")
    url = await site.server("a")
    for name in ("a", "b"):
        await proxy.add_route(f"/user/{name}/", url, {})
    before = await a_tick_ago()
    assert await site.client.server("/user/a/") == "a"
    await later(proxy, before)
    assert await used(proxy, "/user/b/") <= before


async def test_without_the_plugin_they_are_used_together_and_the_log_says_so(site, caplog):
    proxy = await site.started(activity=True, delivery="store")
    url = await site.server("a")
    for name in ("a", "b"):
        await proxy.add_route(f"/user/{name}/", url, {})
    before = await a_tick_ago()
    assert await site.client.server("/user/a/") == "a"
    with caplog.at_level(logging.WARNING):
        await later(proxy, before)
        await later(proxy, before, "/user/b/")
    said = [record.getMessage() for record in caplog.records if "one target" in record.getMessage()]
    assert said == ["The routes /user/a/, /user/b/ have one target: use of one counts as use of all"]


async def test_a_place_that_was_another_servers_has_no_old_use(site):
    proxy = await site.started(activity=True, delivery="push")
    url = await site.server("a")
    await proxy.add_route("/user/a/", url, {})
    assert await site.client.server("/user/a/") == "a"
    await proxy.delete_route("/user/a/")
    before = now()
    await proxy.add_route("/user/b/", url, {})
    assert (await used(proxy, "/user/b/")).timestamp() >= before.timestamp() - 0.001


async def test_it_is_never_stored(site, monkeypatch):
    proxy = await site.started(activity=True)
    url = await site.server("a")
    await proxy.add_route("/user/a/", url, {"user": "a"})
    batches = await count_commits(proxy, monkeypatch)
    for _ in range(2):
        assert await site.client.server("/user/a/") == "a"
        route = (await proxy.get_all_routes())["/user/a/"]
        await proxy.add_route("/user/a/", url, route["data"])
    assert not batches
    snapshot = await proxy.backend.load()
    assert not any("last_activity" in text for text in snapshot.keys.values())


async def test_nothing_is_left_when_the_proxy_has_stopped(site):
    proxy = await site.started(activity=True)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    await proxy.get_all_routes()
    await proxy.stop()
    assert not proxy.control.activity._here._tasks._tasks
    assert proxy.control.activity._here._closed._socket is None


def no_agents():
    return Discovery([], None, logging.getLogger())


async def test_connections_of_other_users_do_not_count():
    routes = SimpleNamespace(name="p.a", routespec="/a/", target="")
    async with user_server("a") as url:
        routes.target = url
        activity = Activity(frozenset([os.getuid() + 1]), no_agents, logging.getLogger())
        activity.start()
        try:
            await activity.refresh({"p.a": routes})
            client = Client(urlsplit(url).port)
            assert await client.server("/") == "a"
            activity._asked_at = float("-inf")
            await activity.refresh({"p.a": routes})
            assert activity.last_use(routes) is None
            await client.close()
        finally:
            await activity.close()


async def test_a_hub_that_may_not_ask_the_kernel_says_so_when_it_starts(site, monkeypatch):
    # A fake of a container that forbids netlink sockets.
    def forbidden(*_):
        raise PermissionError(1, "Operation not permitted")

    proxy = site.proxy(activity=True)
    monkeypatch.setattr("jhub_kvproxy.activity.sockets.socket.socket", forbidden)
    with pytest.raises(KVProxyError, match=r"set KVProxy\.activity to False"):
        await proxy.control.open()


async def test_jupyterhub_takes_it_over(site):
    # As jupyterhub.app.JupyterHub.update_last_activity reads it.
    from dateutil.parser import parse as parse_date

    proxy: KVProxy = await site.started(activity=True, delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {"user": "a", "server_name": ""})
    read = parse_date((await proxy.get_all_routes())["/user/a/"]["data"]["last_activity"])
    assert read.utcoffset().total_seconds() == 0
    assert abs((read.replace(tzinfo=None) - utcnow(with_tz=False)).total_seconds()) < 3600
