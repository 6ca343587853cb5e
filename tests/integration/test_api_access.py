"""Who gets to the API of the Traefik that the hub starts: the hub, by a credential, and nobody else in any way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import stat
import subprocess
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from jhub_kvproxy.traefik.ports import is_free
from jhub_kvproxy.traefik.running import API_PASSWORD_ENV
from servers.ports import free_port
from tests.hub import until
from tests.site import is_served
from tests.stores import on_every_store
from tests.wire import exchange, request

# What Traefik's API, its other internal services and older versions of it answer (pkg/api/handler.go).
PATHS = [
    *("/api", "/api/", "/api/rawdata", "/api/overview", "/api/version", "/api/entrypoints", "/api/support-dump"),
    *("/api/http/routers", "/api/http/services", "/api/http/middlewares", "/api/tcp/routers", "/api/udp/services"),
    *("/api/http/routers/kvproxy-api@file", "/api/providers", "/api/providers/rest", "/api/certificates"),
    *("/kvproxy/table", "/kvproxy/routes", "/kvproxy/routes?path=/", "/kvproxy/activity"),
    *("/debug", "/debug/vars", "/debug/pprof/", "/debug/pprof/heap", "/metrics", "/ping", "/ping/", "/health"),
    *("/", "/dashboard", "/dashboard/", "/_chp_healthz", "/.well-known/acme-challenge/x"),
    *("//api/rawdata", "/x/../api/rawdata", "/%61pi/rawdata", "/API/rawdata", "/api;x/rawdata", "/api%2Frawdata"),
    *("/api/rawdata?x=/", "/api/../api/rawdata", "/api//rawdata", "*"),
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI"]
HEADERS = [
    ("X-Forwarded-Host: 127.0.0.1", "X-Forwarded-Prefix: /api", "X-Forwarded-Uri: /api/rawdata"),
    ("X-Original-URL: /api/rawdata", "X-Rewrite-URL: /api/rawdata", "X-HTTP-Method-Override: PUT"),
    ("Forwarded: for=127.0.0.1;host=127.0.0.1", "X-Forwarded-For: 127.0.0.1", "X-Real-Ip: 127.0.0.1"),
]
POISON = json.dumps({"http": {"middlewares": {"poison": {"stripPrefix": {"prefixes": ["/x"]}}}}}).encode()
#: Go answers this one by itself, with nothing (net/http, globalOptionsHandler).
ALL = ("OPTIONS", "*")
REFUSALS = (400, 401, 404, 405, 501)
#: What none but the API says.
MARKS = (
    b"entryPoints",
    b"api@internal",
    b"kvproxy-revision",
    b"poison",
    b"goVersion",
    b'Version"',
    b"goroutine",
    b'"form"',
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def supervisor_of(proxy):
    return proxy.control.local.supervisors[0]


def api_port(proxy):
    return supervisor_of(proxy)._instance.api_port


def basic(user, password):
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def ask_for(method, path, host, *headers, body=b""):
    return request(path, "Connection: close", *headers, host=host, method=method, body=body)


def listening(pid: int) -> set[tuple[str, int]]:
    """The TCP addresses and ports on which the process `pid` listens (proc(5), "/proc/net/tcp")."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            sockets.add(os.readlink(link))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
                found.add((str(ip_address(b"".join(words))), int(port, 16)))
    return found


async def refused(port, said, statuses):
    """Assert that the API refuses a request, and tells nothing."""
    status, answer = await exchange(port, said)
    assert status in statuses, (said, answer)
    assert not [mark for mark in MARKS if mark in answer], (said, answer)


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_no_path_of_the_apis_entry_point_tells_anything_without_the_credential(site, delivery):
    proxy = await site.started(delivery=delivery)
    await proxy.add_route("/", await site.server("hub"), {})
    port, password = api_port(proxy), supervisor_of(proxy)._instance.api_password
    nearly = [password[:-1], password + "x", password.swapcase(), "", " " + password]
    nearly.append(base64.b64encode(hashlib.sha1(password.encode()).digest()).decode())
    credentials = [basic("kvproxy", word) for word in nearly] + [basic("admin", password), basic("", password)]
    for path in PATHS:
        for method in METHODS:
            if (method, path) != ALL:
                await refused(port, ask_for(method, path, "127.0.0.1"), REFUSALS)
        for header in (*((credential,) for credential in credentials[:2]), *HEADERS):
            await refused(port, ask_for("GET", path, "127.0.0.1", *header), REFUSALS)
        for host in ("localhost", "api@internal", f"127.0.0.1:{site.port}", ""):
            await refused(port, ask_for("GET", path, host), REFUSALS)
    for credential in credentials:
        await refused(port, ask_for("GET", "/api/rawdata", "x", credential), (401,))
        await refused(port, ask_for("PUT", "/api/providers/rest", "x", credential, body=POISON), (401,))
    for said in (b"GET http://127.0.0.1/api/rawdata HTTP/1.0\r\n\r\n", b"GET /api/rawdata HTTP/1.0\r\n\r\n"):
        await refused(port, said, REFUSALS)
    right = basic("kvproxy", password)
    assert (await exchange(port, ask_for("GET", "/api/rawdata", "x", right)))[0] == 200
    # It is no better a way to users' servers, or to what only debugging needs.
    for path in ("/debug/pprof/", "/debug/vars", "/dashboard/", "/ping", "/metrics", "/"):
        assert (await exchange(port, ask_for("GET", path, "x", right)))[0] == 404, path
    assert await is_served(site, "/")


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_no_request_of_a_user_gets_to_what_is_internal(site, delivery):
    """Neither before the hub has a route, nor after: then the hub is asked, or Traefik answers with an error."""
    proxy = await site.started(delivery=delivery)
    port = api_port(proxy)
    hosts = ["127.0.0.1", f"127.0.0.1:{port}", "localhost", "api@internal", "rest@internal", "traefik", ""]
    questions = [(method, path) for path in PATHS for method in METHODS if (method, path) != ALL]
    requests = [ask_for(*question, "127.0.0.1") for question in questions]
    requests += [ask_for("GET", path, host) for path in PATHS for host in hosts]
    requests += [ask_for("GET", path, "127.0.0.1", *header) for path in PATHS for header in HEADERS]
    for path in ("/api/providers/rest", "/x/../api/providers/rest", "//api/providers/rest"):
        credential = basic("kvproxy", supervisor_of(proxy)._instance.api_password)
        requests.append(ask_for("PUT", path, f"127.0.0.1:{port}", credential, body=POISON))
    requests.append(
        f"GET http://127.0.0.1:{port}/api/rawdata HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    for has_hub in (False, True):
        if has_hub:
            await proxy.add_route("/", await site.server("hub"), {})
        for said in requests:
            status, answer = await exchange(site.port, said)
            target = said.split()[1]
            if target == b"/_chp_healthz":
                body = answer.partition(b"\r\n\r\n")[2]
                assert (status == 200 and body in (b"OK", b"")) or status in REFUSALS, (said, answer)
            elif b'"server": "hub"' in answer:
                assert has_hub
            else:
                assert status in REFUSALS or (has_hub and status == 200), (said, answer)
                assert not [mark for mark in MARKS if mark in answer], (said, answer)
    assert "poison" not in (await exchange(port, ask_for("GET", "/api/rawdata", "x", credential)))[1].decode()


@on_every_store
@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_traefik_listens_where_it_should_and_nowhere_else(site, delivery):
    proxy = await site.started(delivery=delivery)
    assert listening(supervisor_of(proxy)._pid) == {("127.0.0.1", site.port), ("127.0.0.1", api_port(proxy))}


async def test_the_api_is_on_loopback_when_users_come_in_everywhere(site):
    proxy = site.proxy(delivery="push")
    proxy.public_url = f"http://:{site.port}/"
    await proxy.start()
    assert listening(supervisor_of(proxy)._pid) == {("::", site.port), ("127.0.0.1", api_port(proxy))}
    with pytest.raises(OSError, match="Connect call failed"):
        # An address that loopback has, as any other of the machine.
        await exchange(api_port(proxy), ask_for("GET", "/api/version", "x"), host="127.0.0.2")


async def test_each_traefik_has_a_credential_of_its_own_that_cannot_be_guessed(site):
    passwords = set()
    for _ in range(2):
        proxy = await site.started()
        passwords.add(supervisor_of(proxy)._instance.api_password)
        await proxy.stop()
    assert len(passwords) == 2
    assert all(len(base64.urlsafe_b64decode(password + "=")) == 32 for password in passwords)


async def test_who_takes_the_port_of_a_traefik_that_died_is_told_no_password_that_will_do(site):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/", await site.server("hub"), {})
    port, password, killed = api_port(proxy), supervisor_of(proxy)._instance.api_password, supervisor_of(proxy)._pid
    heard = []

    async def listen(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    os.kill(killed, signal.SIGKILL)
    await until(lambda: is_free("127.0.0.1", port), "Traefik keeps the port")
    async with await asyncio.start_server(listen, "127.0.0.1", port):
        await until(lambda: supervisor_of(proxy)._pid != killed, "Traefik was not started again")
        await proxy.add_route("/user/a/", await site.server("a"), {})
        await site.client.close()
        assert await is_served(site, "/user/a/")
        now = basic("kvproxy", supervisor_of(proxy)._instance.api_password).encode()
        assert not [said for said in heard if now in said]
        assert await refuses(api_port(proxy), basic("kvproxy", password))
        assert api_port(proxy) != port


async def refuses(port, credential):
    return (await exchange(port, ask_for("GET", "/api/version", "x", credential)))[0] == 401


async def test_what_traefik_holds_is_for_the_same_user_only(site):
    proxy = await site.started(delivery="push")
    process = Path(f"/proc/{supervisor_of(proxy)._pid}")
    assert stat.S_IMODE((process / "environ").stat().st_mode) == 0o400
    assert stat.S_IMODE((process / "fd").stat().st_mode) & 0o077 == 0
    assert process.stat().st_uid == os.geteuid()
    assert stat.S_IMODE((site.directory / "run").stat().st_mode) == 0o700
    if os.geteuid() == 0:  # somebody else can be asked
        for path in (process / "environ", process / "fd", process / "mem"):
            read = subprocess.run(["ls" if path.name == "fd" else "cat", path], user=65534, capture_output=True)
            assert b"ermission denied" in read.stderr, path


IMPOSTOR = "read until_the_end"


@as_root
async def test_a_process_of_another_user_is_never_taken_for_our_traefik(site):
    """A user may have got the process id of a Traefik that ended together with its hub."""
    proxy = site.proxy()
    supervisor = supervisor_of(proxy)
    # It names our configuration as a Traefik of ours does, and has a password for its own API.
    arguments = ["/bin/sh", "-c", IMPOSTOR, supervisor._runtime.config_argument]
    for user, is_ours in ((65534, False), (os.geteuid(), True)):
        impostor = subprocess.Popen(arguments, env={API_PASSWORD_ENV: "x"}, user=user, stdin=subprocess.PIPE)
        try:
            command = Path(f"/proc/{impostor.pid}/cmdline")
            await until(lambda command=command: IMPOSTOR.encode() in command.read_bytes(), "it does not start")
            supervisor._runtime.path.mkdir(exist_ok=True)
            supervisor._runtime.state_file.write_text(json.dumps({"pid": impostor.pid, "api_port": free_port()}))
            assert supervisor._instance.find() is is_ours
        finally:
            impostor.kill()
            impostor.communicate()
