"""The public entry point beside its TLS: redirects, headers, timeouts, addresses, the access log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat

import aiohttp
import pytest
from traitlets import TraitError
from yarl import URL

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik import renewal
from servers.ports import free_port
from tests.hub import until
from tests.public_tls import Certificates, get, served_name, started_with_tls, tls_proxy
from tests.stores import on_every_store

SECRET = "Hush4Ever"


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


async def test_plain_http_is_redirected_to_https(site, certificates):
    plain = free_port()
    proxy = await started_with_tls(site, certificates, redirect_http=plain)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    path = "/user/a//x/%2Fy?next=%2Fhub%2F&a=1"
    answer = await get(URL(f"http://127.0.0.1:{plain}{path}", encoded=True))
    assert (answer.status, answer.headers["Location"]) == (301, f"https://127.0.0.1:{site.port}{path}")
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{plain}/user/a/x"
        async with session.get(url, headers={"Host": "hub.example:80"}, allow_redirects=False) as answer:
            assert answer.headers["Location"] == f"https://hub.example:{site.port}/user/a/x"
        async with session.post(url, data=b"form", allow_redirects=False) as answer:
            # With 301, browsers would forget the body.
            assert (answer.status, answer.headers["Location"]) == (308, f"https://127.0.0.1:{site.port}/user/a/x")
        # Nobody plays the trusted proxy to be served without TLS.
        async with session.get(url, headers={"X-Forwarded-Proto": "https"}, allow_redirects=False) as answer:
            assert answer.status == 301


async def test_the_redirect_leads_to_the_port_that_users_see(site, certificates):
    plain = free_port()
    await started_with_tls(site, certificates, redirect_http=plain, redirect_http_to=443)
    answer = await get(f"http://127.0.0.1:{plain}/hub/home")
    assert answer.headers["Location"] == "https://127.0.0.1/hub/home"


async def test_a_redirect_without_tls_is_refused(site):
    with pytest.raises(TraefikError, match=r"KVProxy\.redirect_http needs TLS: set JupyterHub\.ssl_cert"):
        await site.proxy(redirect_http=free_port()).start()


async def test_a_redirect_from_the_public_port_is_refused(site, certificates):
    with pytest.raises(TraefikError, match=rf"both have port {site.port}; choose another"):
        await tls_proxy(site, certificates, redirect_http=site.port).start()


async def test_a_redirect_from_a_port_of_others_is_refused(site, certificates):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        sentence = rf"cannot listen on port {taken} of 127.0.0.1: another program .* with KVProxy\.redirect_http\.$"
        with pytest.raises(TraefikError, match=sentence):
            await tls_proxy(site, certificates, redirect_http=taken).start()


@on_every_store
@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_headers_of_both_directions(site, delivery):
    proxy = await site.started(
        delivery=delivery,
        headers={"Strict-Transport-Security": "max-age=31536000", "X-Braces": "{{ x }}", "Server": ""},
        request_headers={"X-Site": "lab", "X-Unwanted": "", "X-Odd": 'a "{{" \\ é'},
    )
    await proxy.add_route("/", await site.server("hub"), {})
    await proxy.add_route("/user/a/", await site.server("a"), {})
    for path in ("/user/a/x", "/hub/home"):
        answer = await get(f"http://127.0.0.1:{site.port}{path}", headers={"X-Site": "mine", "X-Unwanted": "1"})
        assert answer.headers.getall("Strict-Transport-Security") == ["max-age=31536000"]
        assert answer.headers["X-Braces"] == "{{ x }}"
        assert "Server" not in answer.headers
        sent = (await answer.json())["headers"]
        assert (sent["X-Site"], sent["X-Odd"]) == ("lab", 'a "{{" \\ é')
        assert "X-Unwanted" not in sent
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{site.port}/user/a/ws") as websocket,
    ):
        assert websocket.get_extra_info("peername")
        await websocket.send_str("hello")
        assert (await websocket.receive()).data == "a: hello"


async def test_headers_stand_beside_the_middlewares_of_the_admin(site):
    mine = {"http": {"middlewares": {"mine": {"headers": {"frameDeny": True}}}}}
    proxy = await site.started(
        headers={"X-Ours": "1"},
        extra_static_config={"entryPoints": {"public": {"http": {"middlewares": ["mine@file"]}}}},
        extra_dynamic_config=mine,
    )
    await proxy.add_route("/user/a/", await site.server("a"), {})
    answer = await get(f"http://127.0.0.1:{site.port}/user/a/x")
    assert (answer.headers["X-Ours"], answer.headers["X-Frame-Options"]) == ("1", "DENY")


@pytest.mark.parametrize(
    ("traits", "sentence"),
    [
        ({"headers": {"X Y": "1"}}, r"KVProxy\.headers: 'X Y' cannot be the name"),
        ({"headers": {"": "1"}}, "cannot be the name"),
        ({"request_headers": {"X-Y": "1\r\nSet-Cookie: x"}}, r"KVProxy\.request_headers: the value of 'X-Y' has a"),
        ({"redirect_http": 70000}, "redirect_http"),
        ({"keep_alive_timeout": -1}, "keep_alive_timeout"),
        ({"access_log_format": "combined"}, "access_log_format"),
    ],
)
def test_a_value_that_cannot_be_is_refused(site, traits, sentence):
    with pytest.raises(TraitError, match=sentence):
        site.proxy(**traits)


async def test_a_connection_is_kept_between_requests_for_as_long_as_is_said(site):
    proxy = await site.started(keep_alive_timeout=0.3)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/x") == "a"
    reader, _ = site.client._streams
    assert await asyncio.wait_for(reader.read(), 20) == b""


async def test_a_request_may_be_sent_slowly_unless_a_limit_is_set(site):
    proxy = await site.started(timeout=0.3)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"POST /user/a/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert b'"server"' not in await asyncio.wait_for(reader.read(), 20)
    writer.close()


@pytest.mark.parametrize("host", ["::1", "::", ""])
async def test_it_listens_on_ipv6(site, certificates, host):
    plain = free_port()
    proxy = tls_proxy(site, certificates, redirect_http=plain)
    proxy.public_url = f"https://{f'[{host}]' if host else ''}:{site.port}/"
    await proxy.start()
    await proxy.add_route("/user/a/", await site.server("a"), {})
    for address in ("[::1]",) if host == "::1" else ("[::1]", "127.0.0.1"):
        assert (await get(f"https://{address}:{site.port}/user/a/x", certificates.trust())).status == 200
        # Traefik cannot redirect who asks for an IPv6 address by number (pkg/middlewares/redirect), nor can CHP.
        answer = await get(f"http://{address}:{plain}/user/a/x", headers={"Host": "hub.example"})
        assert answer.headers["Location"] == f"https://hub.example:{site.port}/user/a/x"


async def test_the_access_log_names_route_and_target_and_what_a_client_writes_is_not_in_it(site):
    log = site.directory / "access.log"
    proxy = await site.started(access_log=str(log), access_log_format="json", delivery="push", host_routing=True)
    target = await site.server("a")
    await proxy.add_route("/", target, {})
    await proxy.add_route("hub.example/user/a%2Fb/", target, {})
    forged = {"X-Kvproxy-Route": "/user/forged", "X-Kvproxy-Target": "http://forged"}
    public = f"http://127.0.0.1:{site.port}"
    asked = [("/user/a%2fb/x", {"Host": "hub.example"}), ("/user/a/x", {})]
    told = []
    for path, headers in asked:
        answer = await get(URL(public + path, encoded=True), headers=headers | forged)
        told.append(json.loads(await answer.text())["headers"])
    await until(lambda: log.read_text().count("\n") == 2, "the requests are not logged, or others are")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    found = [(line.get("request_X-Kvproxy-Route", ""), line.get("request_X-Kvproxy-Target", "")) for line in lines]
    assert found[:2] == [("hub.example/user/a%2Fb", target), ("/", target)]
    assert not any("forged" in text for pair in found for text in pair)
    for headers in told:
        assert not any(name.lower().startswith("x-kvproxy") for name in headers)


@pytest.mark.parametrize("form", ["common", "genericCLF", "json"])
async def test_the_access_log_has_each_request_and_no_secret(site, form):
    log = site.directory / "access.log"
    proxy = await site.started(access_log=str(log), access_log_format=form, delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    headers = {
        "Authorization": f"token {SECRET}",
        "Cookie": f"session={SECRET}",
        "Referer": f"http://x/?token={SECRET}",
        "User-Agent": "Browser/1.0",
    }
    url = f"http://127.0.0.1:{site.port}/user/a/x"
    await get(f"{url}?token={SECRET}", headers=headers)
    await until(lambda: log.read_text().count("\n") == 1, "the request is not logged, or others are")
    text = log.read_text()
    assert SECRET not in text
    assert "/user/a/x" in text
    assert "Browser/1.0" in text
    if form == "json":
        said = json.loads(text)
        assert (said["RequestPath"], said["DownstreamStatus"], said["ClientHost"]) == ("/user/a/x", 200, "127.0.0.1")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.rename(log.with_suffix(".1"))
    os.kill(proxy.control.local.supervisors[0]._pid, signal.SIGUSR1)
    await until(log.exists, "no new log is begun")
    await get(url)
    await until(lambda: log.read_text().count("\n") == 1, "the new log has no line")


async def test_the_access_log_can_go_where_the_hubs_does(site, capfd):
    proxy = await site.started(access_log="-")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    await get(f"http://127.0.0.1:{site.port}/user/a/x?token={SECRET}")
    said = ""

    def logged():
        nonlocal said
        said += "".join(capfd.readouterr())
        return '"GET /user/a/x HTTP/1.1" 200' in said

    await until(logged, "nothing is logged")
    assert SECRET not in said


async def test_an_access_log_that_cannot_be_written_is_said_when_the_hub_starts(site):
    with pytest.raises(TraefikError, match=r"KVProxy\.access_log: /absent/x cannot be written: No such file"):
        await site.proxy(access_log="/absent/x").start()


async def test_several_traefiks_share_the_front_door(site, certificates, monkeypatch):
    monkeypatch.setattr(renewal, "_INTERVAL", 0.05)
    plain = two_ports()
    site.port = two_ports()
    await started_with_tls(site, certificates, redirect_http=plain, local_replicas=2)

    async def names():
        return [await served_name(site.port + n) for n in (0, 1)]

    for n in (0, 1):
        answer = await get(f"http://127.0.0.1:{plain + n}/hub/home")
        assert answer.headers["Location"] == f"https://127.0.0.1:{site.port + n}/hub/home"
    assert await names() == ["first", "first"]
    certificates.renew("second")

    async def are_renewed():
        return await names() == ["second", "second"]

    await until(are_renewed, "one of them has the old certificate")


def two_ports():
    """The first of two free ports that follow each other."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
