"""configurable-http-proxy's REST API (``KVProxy.rest_api_port``): the answers are those of its version 5.3.

`EXPECTED` was recorded from it. Where it is installed, the same requests go to both, and must be answered alike.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp
import pytest
from jupyterhub.proxy import ConfigurableHTTPProxy

from jhub_kvproxy import KVProxyError
from servers.ports import free_port, takes_connections
from servers.programs import find
from tests.activity import a_tick_ago
from tests.hub import Hub, until

TOKEN = "s3cret-token"
DEAD = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Case:
    """A request, and the status and body that answer it; a body that is None may be anything."""

    method: str
    path: str
    status: int
    body: object = ""
    send: object = None
    token: str | None = TOKEN

    @property
    def headers(self):
        return {} if self.token is None else {"Authorization": f"token {self.token}"}


ALICE = {"target": DEAD, "user": "alice", "jupyterhub": True}
NOT_FOUND = "Not Found"
#: One after another: the table is that which the earlier ones left. `last_activity` is left out of bodies.
EXPECTED = [
    Case("GET", "/api/routes", 200, {}),
    Case("GET", "/api/routes", 403, token=None),
    Case("GET", "/api/routes", 403, token="wrong"),
    Case("DELETE", "/api/routes/user/alice", 403, token="wrong"),
    Case("POST", "/api/routes/user/alice", 403, send=ALICE, token="wrong"),
    Case("POST", "/api/routes/user/alice", 201, send=ALICE),
    Case("GET", "/api/routes/user/alice", 200, ALICE),
    Case("GET", "/api/routes/user/alice/", 200, ALICE),
    Case("GET", "/api/routes/user/bob", 404),
    Case("GET", "/api/routes/", 200, {"/user/alice": ALICE}),
    Case("POST", "/api/routes/user/a%20b%2540/", 201, send={"target": DEAD, "n": [1, None, True]}),
    Case("GET", "/api/routes/user/a%20b%2540", 200, {"target": DEAD, "n": [1, None, True]}),
    Case("POST", "/api/routes", 201, send={"target": DEAD, "jupyterhub": True}),
    Case(
        "GET",
        "/api/routes",
        200,
        {
            "/": {"target": DEAD, "jupyterhub": True},
            "/user/alice": ALICE,
            "/user/a b%40": {"target": DEAD, "n": [1, None, True]},
        },
    ),
    Case("POST", "/api/routes/user/carol:80", 201, send={"target": DEAD, "jupyterhub": False, "host": "x"}),
    Case("GET", "/api/routes/user/carol:80", 200, {"target": DEAD, "jupyterhub": False, "host": "x"}),
    Case("POST", "/api/routes/user/carol:80", 201, send={"target": DEAD, "jupyterhub": None}),
    Case("GET", "/api/routes/user/carol:80", 200, {"target": DEAD, "jupyterhub": None}),
    Case("DELETE", "/api/routes/user/carol:80", 204),
    Case("POST", "/api/routes/user/alice", 201, send={**ALICE, "user": "other"}),
    Case("GET", "/api/routes/user/alice", 200, {**ALICE, "user": "other"}),
    Case("POST", "/api/routes/x", 400, "Must specify 'target' as string", send={}),
    Case("POST", "/api/routes/x", 400, "Must specify 'target' as string", send={"target": 1}),
    Case("POST", "/api/routes/x", 400, "Must specify 'target' as string", send=[]),
    Case("POST", "/api/routes/x", 400, "Must specify 'target' as string", send=b"null"),
    Case("POST", "/api/routes/x", 400, None, send=b"{"),
    Case("POST", "/api/routes/x", 400, None, send=b""),
    Case("PUT", "/api/routes/x", 405, "Method not supported", send={}),
    Case("PATCH", "/api/routes", 405, "Method not supported", send={}),
    Case("GET", "/api/route", 404, NOT_FOUND),
    Case("GET", "/api/routesx", 404, NOT_FOUND),
    Case("GET", "/", 404, NOT_FOUND),
    Case("POST", "/api", 404, NOT_FOUND, send={}),
    Case("GET", "/api/routes?inactiveSince=yesterday", 400, "Invalid datestamp 'yesterday' must be ISO8601."),
    Case("GET", "/api/routes?inactive_since=2020-13-01", 400, "Invalid datestamp '2020-13-01' must be ISO8601."),
    Case("GET", "/api/routes?inactiveSince=2020-01-01", 200, {}),
    Case("GET", "/api/routes?inactive_since=2020-01-01T00:00:00", 200, {}),
    Case("GET", "/api/routes?inactiveSince=2020-01-01T00:00:00.000Z", 200, {}),
    Case("GET", "/api/routes?inactiveSince=2020-01-01T00:00:00%2B02:00", 200, {}),
    Case("GET", "/api/routes?inactiveSince=2020", 200, {}),
    Case("GET", "/api/routes?inactiveSince=2020-01", 200, {}),
    Case("GET", "/api/routes?inactiveSince=Thu,%2001%20Jan%201970%2000:00:00%20GMT", 200, {}),
    Case("GET", "/api/routes?inactiveSince=0001-01-01T00:00:00%2B10:00", 200, {}),
    Case("GET", "/api/routes?inactiveSince=-000001-01-01", 200, {}),
    Case("GET", "/api/routes?inactiveSince=2020-W01", 400, "Invalid datestamp '2020-W01' must be ISO8601."),
    Case("GET", "/api/routes?inactiveSince=%2B275760-09-13T00:00:00.001Z", 400, None),
    Case("DELETE", "/api/routes/user/alice", 204),
    Case("DELETE", "/api/routes/user/alice", 404),
    Case("GET", "/api/routes/user/alice", 404),
    Case("DELETE", "/api/routes/user/a%20b%2540", 204),
    Case("DELETE", "/api/routes/", 204),
    Case("GET", "/api/routes", 200, {}),
]
IN_A_DOMAIN = {"/a.example.org/user/a": {"target": DEAD, "jupyterhub": True, "host": "a.example.org"}}
HOSTS = [
    Case("POST", "/api/routes/a.example.org/user/a", 201, send={"target": DEAD, "jupyterhub": True}),
    Case("GET", "/api/routes", 200, IN_A_DOMAIN),
    Case("GET", "/api/routes?inactiveSince=9999-12-31T23:59:59-10:00", 200, IN_A_DOMAIN),
    Case("GET", "/api/routes?inactiveSince=%2B275760-09-13", 200, IN_A_DOMAIN),
    Case("DELETE", "/api/routes/a.example.org/user/a", 204),
    Case("POST", "/api/routes/a.example.org:8000/user/a", 201, send={"target": DEAD, "jupyterhub": True, "host": "x"}),
    Case(
        "GET",
        "/api/routes",
        200,
        {"/a.example.org:8000/user/a": {"target": DEAD, "jupyterhub": True, "host": "a.example.org:8000"}},
    ),
    Case("GET", "/api/routes/a.example.org:8000/user/a", 200, None),
    Case("DELETE", "/api/routes/a.example.org:8000/user/a", 204),
]


async def ask(session, url, case):
    """Status, content type of JSON, and body without `last_activity`; in each route there is one."""
    data = case.send if isinstance(case.send, bytes) else None if case.send is None else json.dumps(case.send)
    async with session.request(case.method, url + case.path, data=data, headers=case.headers) as answer:
        body = await answer.text()
        if answer.status == 200:
            assert answer.content_type == "application/json"
            body = json.loads(body)
            for route in [body] if "target" in body else body.values():
                assert datetime.fromisoformat(route.pop("last_activity")).tzinfo
        return answer.status, body


async def check(url, cases):
    async with aiohttp.ClientSession() as session:
        for case in cases:
            status, body = await ask(session, url, case)
            assert (status, body if case.body is not None else None) == (case.status, case.body), case


@contextmanager
def chp(*options):
    """The API's URL of a running configurable-http-proxy."""
    command = find("configurable-http-proxy")
    port = free_port()
    ports = ["--ip", "127.0.0.1", "--port", str(free_port()), "--api-ip", "127.0.0.1", "--api-port", str(port)]
    process = subprocess.Popen(
        [command, *ports, *options], env={**os.environ, "CONFIGPROXY_AUTH_TOKEN": TOKEN}, stdout=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def api(site, **traits):
    port = free_port()
    traits = {"rest_api_port": port, "rest_api_token": TOKEN, "rest_api_writes": True, "activity": True, **traits}
    yield await site.started(delivery="push", **traits), f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(("cases", "hosts"), [(EXPECTED, False), (HOSTS, True)], ids=["paths", "hosts"])
async def test_it_answers_as_recorded(site, cases, hosts):
    async with api(site, host_routing=hosts) as (_, url):
        await check(url, cases)


@pytest.mark.parametrize(("cases", "options"), [(EXPECTED, []), (HOSTS, ["--host-routing"])], ids=["paths", "hosts"])
async def test_configurable_http_proxy_answers_as_recorded(cases, options):
    with chp(*options) as port:
        await until(lambda: takes_connections(port), "configurable-http-proxy does not start")
        await check(f"http://127.0.0.1:{port}", cases)


async def test_inactive_since_tells_of_routes_that_were_not_used(site):
    async with api(site) as (proxy, url), aiohttp.ClientSession(headers=Case("", "", 0).headers) as session:
        for name in ("a", "b"):
            await proxy.add_route(f"/user/{name}/", await site.server(name), {})
        await a_tick_ago()  # times of use are told in milliseconds
        between = await a_tick_ago()

        async def inactive(since):
            params = {"inactiveSince": since.isoformat()}
            async with session.get(url + "/api/routes", params=params) as answer:
                return sorted(await answer.json())

        assert await inactive(between) == ["/user/a", "/user/b"]
        assert await inactive(between - timedelta(hours=1)) == []
        assert await site.client.server("/user/a/") == "a"

        async def only_b():
            return await inactive(between) == ["/user/b"]

        await until(only_b, "the use of /user/a was not seen")


async def test_jupyterhubs_own_client_reads_what_the_hub_added(site):
    async with api(site, activity=False) as (proxy, url):
        data = {"user": "a b", "server_name": ""}
        await proxy.add_route("/user/a%20b%40/", DEAD, data)
        client = ConfigurableHTTPProxy(api_url=url, auth_token=TOKEN, should_start=False)
        assert await client.get_all_routes() == {
            "/user/a%20b@/": {"routespec": "/user/a%20b@/", "target": DEAD, "data": data}
        }
        await client.add_route("/user/c/", DEAD, {"user": "c"})
        assert (await proxy.get_all_routes())["/user/c/"]["data"] == {"user": "c"}
        await client.delete_route("/user/c/")
        assert "/user/c/" not in await proxy.get_all_routes()


async def test_a_route_of_a_tool_is_served_and_none_of_jupyterhubs(site):
    async with api(site) as (proxy, url):
        target = await site.server("tool")
        await check(url, [Case("POST", "/api/routes/tool", 201, send={"target": target, "mine": 1})])
        assert await site.client.server("/tool/x") == "tool"
        # JupyterHub deletes those that it does not know (Proxy.check_routes).
        assert await proxy.get_all_routes() == {}
        assert await proxy.get_route("/tool/") is None
        await check(url, [Case("GET", "/api/routes/tool", 200, {"target": target, "mine": 1})])
        await check(url, [Case("DELETE", "/api/routes/tool", 204)])
        assert await site.client.server("/tool/x") is None


async def test_it_only_reads_unless_it_may_write(site):
    async with api(site, rest_api_writes=False) as (proxy, url):
        await proxy.add_route("/user/a/", DEAD, {})
        why = "Routes can only be read here, unless KVProxy.rest_api_writes is True"
        await check(
            url,
            [
                Case("POST", "/api/routes/user/b", 403, why, send=ALICE),
                Case("DELETE", "/api/routes/user/a", 403, why),
                Case("GET", "/api/routes/user/a", 200, {"target": DEAD, "jupyterhub": True}),
            ],
        )
        assert list(await proxy.get_all_routes()) == ["/user/a/"]


async def test_what_traefik_cannot_serve_is_a_bad_request(site):
    async with api(site) as (_, url):
        why = (
            "Cannot route '/x/' to 'unix:/run/x': Traefik cannot reach unix sockets; let the server listen on a TCP "
            "port (Spawner.ip, Spawner.port)."
        )
        await check(url, [Case("POST", "/api/routes/x", 400, why, send={"target": "unix:/run/x"})])


async def test_a_body_that_is_not_json_is_not_read_without_the_token(site):
    # configurable-http-proxy reads it first, and answers 400.
    async with api(site) as (_, url):
        await check(url, [Case("POST", "/api/routes/x", 403, send=b"{", token=None)])


async def test_it_needs_a_token(site, monkeypatch):
    monkeypatch.delenv("CONFIGPROXY_AUTH_TOKEN", raising=False)
    with pytest.raises(KVProxyError, match="set CONFIGPROXY_AUTH_TOKEN in the environment"):
        await site.proxy(rest_api_port=free_port()).control.open()


async def test_the_token_comes_from_the_environment(site, monkeypatch):
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", TOKEN)
    async with api(site, rest_api_token=site.proxy().rest_api_token) as (_, url):
        await check(url, [Case("GET", "/api/routes", 200, {})])


async def test_a_taken_port_is_named(site):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            KVProxyError, match=rf"cannot listen on port {port} of 127\.0\.0\.1: Address already in use"
        ):
            await site.proxy(rest_api_port=port, rest_api_token=TOKEN).control.open()


async def test_an_address_that_is_unknown_is_named(site):
    host = "no-such-host.invalid"
    with pytest.raises(KVProxyError, match=rf"cannot listen on port 1 of {host}: (Name|Temporary failure|No address)"):
        await site.proxy(rest_api_ip=host, rest_api_port=1, rest_api_token=TOKEN).control.open()


async def test_nobody_listens_by_default_nor_when_the_proxy_has_stopped(site):
    assert site.proxy().rest_api_port == 0
    async with api(site) as (proxy, url):
        port = int(url.rpartition(":")[2])
        assert takes_connections(port)
        await proxy.stop()
        assert not takes_connections(port)


async def test_telling_the_hub_of_another_proxy_does_no_harm(tmp_path):
    """``PATCH /api/proxy`` gives any proxy an ``api_url`` and an ``auth_token``."""
    config = 'c.JupyterHub.services = [{"name": "s", "api_token": "0123456789", "admin": True}]\n'
    async with Hub(tmp_path, config) as hub:
        await hub.start()
        headers = {"Authorization": "token 0123456789"}
        async with aiohttp.ClientSession(headers=headers) as session:
            news = {"api_url": "http://127.0.0.1:1", "auth_token": "other"}
            async with session.patch(f"{hub.url}/hub/api/proxy", json=news) as answer:
                assert answer.status == 200
            async with session.get(f"{hub.url}/hub/api/proxy") as answer:
                assert list(await answer.json()) == ["/"]
        assert "Traceback" not in hub.log
