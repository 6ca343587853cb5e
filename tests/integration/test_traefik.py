"""The Traefik that we start, and the ones that others start."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import aiohttp
import pytest

from jhub_kvproxy import RouteNotReady, TraefikError
from jhub_kvproxy.routing.revision import Revision
from jhub_kvproxy.traefik import supervisor
from jhub_kvproxy.traefik.admin_config import STATIC
from jhub_kvproxy.traefik.binary import check_version, find_traefik
from jhub_kvproxy.traefik.certificate import self_signed
from jhub_kvproxy.traefik.instance import API_PASSWORD_ENV
from jhub_kvproxy_backends.toml import TomlBackend
from tests.hub import until
from tests.servers import free_port, user_server
from tests.site import leave


def pid_of(proxy):
    return proxy.control.local.supervisors[0]._pid


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_killed_traefik_comes_back_with_its_routes(site, caplog):
    proxy = await site.started()
    await proxy.add_route("/user/a/", await site.server("a"), {})
    for _ in range(2):
        pid = pid_of(proxy)
        os.kill(pid, signal.SIGKILL)
        await until(lambda pid=pid: pid_of(proxy) != pid, "Traefik was not started again")
        await proxy.add_route("/user/b/", await site.server("b"), {})
        await site.client.close()
        assert await site.client.server("/user/a/") == "a"
        assert await site.client.server("/user/b/") == "b"
    assert "ended with status -9; starting it again" in caplog.text


async def test_stop_leaves_nothing_but_the_table(site):
    proxy = await site.started()
    await proxy.add_route("/user/a/", "http://127.0.0.1:1", {})
    pid = pid_of(proxy)
    await proxy.stop()
    assert not is_alive(pid)
    left = sorted(str(path.relative_to(site.directory)) for path in site.directory.rglob("*") if path.is_file())
    table = f"table/{site.store.prefix}"
    assert left == [f"{table}/lock", f"{table}/table.json", f"{table}/traefik/routes.toml"]
    # JupyterHub may still delete routes while it shuts down.
    await proxy.delete_route("/user/a/")
    assert await proxy.get_all_routes() == {}


async def test_files_are_for_their_owner_only_and_hold_no_secret(site):
    old = os.umask(0)
    try:
        proxy = await site.started()
    finally:
        os.umask(old)
    files = [path for path in site.directory.rglob("*") if path.is_file()]
    assert len(files) >= 7
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert proxy.control.local.supervisors[0]._instance.api_password.encode() not in path.read_bytes(), path
    arguments = Path(f"/proc/{pid_of(proxy)}/cmdline").read_bytes()
    assert proxy.control.local.supervisors[0]._instance.api_password.encode() not in arguments


@pytest.mark.parametrize("log_level", ["ERROR", "TRACE"])
async def test_a_stores_secret_reaches_traefik_and_nothing_else(site, log_level, capfd):
    proxy = await site.started(backend_class=SecretiveBackend, traefik_log_level=log_level)
    for path in site.directory.rglob("*"):
        assert not path.is_file() or b"SECRET" not in path.read_bytes(), path
    process = Path(f"/proc/{pid_of(proxy)}")
    assert b"SECRET" not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert "SECRET" not in "".join(capfd.readouterr())
    link = os.readlink(site.directory / "run" / "traefik-with-secrets.toml")
    running = Path(link.replace("self", str(pid_of(proxy))))
    assert tomllib.loads(running.read_text())["providers"]["consul"] == {"token": "SECRET-TOKEN"}


async def test_the_api_wants_our_credential_and_listens_on_loopback(site):
    proxy = await site.started()
    url = proxy.control.local.supervisors[0].api.url
    assert url.startswith("http://127.0.0.1:")
    async with aiohttp.ClientSession() as session:
        for auth in ({}, {"Authorization": "Basic a3Zwcm94eTp3cm9uZw=="}):
            for path in ("/api/rawdata", "/api/http/routers", "/api/overview"):
                async with session.get(url + path, headers=auth) as answer:
                    assert answer.status == 401
        async with session.get(f"{url}/dashboard/") as answer:
            assert answer.status == 404
        async with session.get(f"http://127.0.0.1:{site.port}/api/overview") as answer:
            assert answer.status == 404


async def left_running(site):
    """A proxy whose hub is gone, its Traefik running on."""
    proxy = await site.started()
    await leave(proxy)
    return proxy


async def test_the_next_hub_adopts_the_traefik_that_was_left(site):
    first = await site.started()
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = await site.started()
    assert pid_of(second) == pid_of(first)
    assert await site.client.server("/user/a/") == "a"
    await second.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/b/") == "b"
    os.kill(pid_of(second), signal.SIGKILL)
    await until(lambda: pid_of(second) != pid_of(first), "the adopted Traefik was not watched")
    await site.client.close()
    await until(lambda: reachable(site, "/user/b/"), "the routes did not come back")
    await second.stop()
    assert not is_alive(pid_of(second))


async def reachable(site, path):
    try:
        return await site.client.server(path)
    except (OSError, asyncio.IncompleteReadError):
        await site.client.close()


class SecretiveBackend(TomlBackend):
    def traefik_provider_secrets(self):
        return {"consul": {"token": "SECRET-TOKEN"}}


@pytest.mark.parametrize("change", [{"traefik_log_level": "FATAL"}, {"backend_class": SecretiveBackend}, "lost"])
async def test_a_traefik_with_an_older_configuration_is_replaced(site, change):
    first = await left_running(site)
    if change == "lost":
        (site.directory / "run" / "traefik-with-secrets.toml").unlink()
        change = {}
    second = await site.started(**change)
    assert pid_of(second) != pid_of(first)
    await until(lambda: not is_alive(pid_of(first)), "the old Traefik runs on")
    await second.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"


async def test_a_stranger_on_the_port_is_refused_and_left_alone(site):
    async with user_server("stranger") as url:
        site.port = int(url.rpartition(":")[2])
        proxy = site.proxy()
        with pytest.raises(TraefikError, match=rf"port {site.port} of 127\.0\.0\.1: another program listens there"):
            await proxy.start()
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert (await answer.json())["server"] == "stranger"


async def test_a_state_file_that_names_a_stranger_is_not_believed(site):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={API_PASSWORD_ENV: "x"})
    try:
        run = site.directory / "run"
        run.mkdir()
        (run / "traefik.json").write_text(json.dumps({"pid": stranger.pid, "api_port": free_port()}))
        proxy = await site.started()
        assert pid_of(proxy) != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    ("public_url", "why"),
    [
        ("http+unix://%2Ftmp%2Fproxy.sock", "cannot listen on 'http\\+unix"),
        ("http://192.0.2.1:8000/", "no such address"),
        ("http://no-such-host.invalid:8000/", "no-such-host.invalid"),
    ],
)
async def test_addresses_where_traefik_cannot_listen(site, public_url, why):
    proxy = site.proxy()
    proxy.public_url = public_url
    with pytest.raises(TraefikError, match=why):
        await proxy.start()


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"entryPoints": {"public": {"adress": ":8443"}}}, "adress"),
        ({"entryPoints": {"public": {"http": {"middleware": ["a@file"]}}}}, "middleware"),
        ({"log": {"leval": "INFO"}}, "leval"),
        ({"accessLog": {"fileName": "x"}}, "fileName"),
        ({"providers": {"fiel": {"directory": "x"}}}, "fiel"),
    ],
)
async def test_a_wrong_static_configuration_ends_the_start(site, config, field, capfd):
    proxy = site.proxy(extra_static_config=config)
    with pytest.raises(TraefikError, match=r"ended with status 1 as soon as it was started.*run/traefik.toml"):
        await proxy.start()
    assert f"field not found, node: {field}" in capfd.readouterr().err
    assert not is_alive(pid_of(proxy))


def test_all_sections_of_traefik_are_known():
    [traefik] = find_traefik(["traefik"])
    told = subprocess.run([traefik, "--help"], capture_output=True, text=True, check=True).stdout
    sections = set(re.findall(r"^ +--([a-z]+)", told, re.MULTILINE)) - {"configfile"}
    assert sections == {section.lower() for section in STATIC}


@pytest.mark.parametrize(
    ("traits", "sentence"),
    [
        (
            {"extra_static_config": {"entryPoints": {"x": {"address": None}}}},
            "KVProxy.extra_static_config: entryPoints.x.address is None, which TOML cannot hold; leave it out.",
        ),
        (
            {"extra_dynamic_config": {"http": {"routers": {"r": {"entryPoints": {"public"}}}}}},
            "KVProxy.extra_dynamic_config: http.routers.r.entryPoints is of the type set, which TOML cannot hold.",
        ),
        ({"acme": {"caServer": None}}, "KVProxy.acme: caServer is None, which TOML cannot hold; leave it out."),
        (
            {"extra_static_config": {"entryPoints": {"x": {}}}},
            "KVProxy.extra_static_config: entryPoints.x has no address, such as 127.0.0.1:8443.",
        ),
        (
            {"extra_static_config": {"entryPoints": {"x": "127.0.0.1:8443"}}},
            "KVProxy.extra_static_config: entryPoints.x has no address, such as 127.0.0.1:8443.",
        ),
        ({"extra_static_config": {"entryPoints": ["x"]}}, "KVProxy.extra_static_config: entryPoints must be a table."),
        (
            {"extra_static_config": {"entryPoints": {"public": {"http": True}}}, "headers": {"X": "y"}},
            "KVProxy.extra_static_config: entryPoints.public.http must be a table.",
        ),
        (
            {"extra_static_config": {"entryPoint": {"x": {"address": ":8443"}}}},
            "KVProxy.extra_static_config: Traefik has no section entryPoint; did you mean entryPoints?",
        ),
        (
            {"extra_static_config": {"entryPoints": {"public": {"Address": ":8443"}}}},
            "KVProxy.extra_static_config: entryPoints.public.Address must be spelled address.",
        ),
        (
            {"extra_dynamic_config": {"htp": {"routers": {}}}},
            "KVProxy.extra_dynamic_config: Traefik has no section htp; did you mean http?",
        ),
        (
            {"extra_static_config": {"http": {"routers": {}}}},
            "KVProxy.extra_static_config: http belongs in KVProxy.extra_dynamic_config.",
        ),
        (
            {"extra_static_config": {"serversTransport": 1}},
            "KVProxy.extra_static_config: serversTransport must be a table.",
        ),
    ],
)
@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_configuration_that_cannot_be_is_named_when_the_hub_starts(site, delivery, traits, sentence):
    with pytest.raises(TraefikError) as caught:
        await site.proxy(delivery=delivery, **traits).start()
    assert str(caught.value) == sentence


async def test_a_wrong_dynamic_configuration_ends_the_start(site, monkeypatch):
    monkeypatch.setattr(supervisor, "_START_TIMEOUT", 2)
    proxy = site.proxy(extra_dynamic_config={"http": {"nonsense": {}}})
    with pytest.raises(TraefikError, match=r"did not serve its API within 2 s: .*extra_dynamic_config"):
        await proxy.start()
    assert not is_alive(pid_of(proxy))


async def test_a_start_without_its_table_leaves_no_traefik(site, monkeypatch):
    """Here because the revision that it waits for is nobody's."""
    proxy = site.proxy(ready_timeout=1)
    await proxy.get_all_routes()
    monkeypatch.setattr(type(proxy.control.writer), "revision", Revision("other", 1, "other.1"))
    with pytest.raises(RouteNotReady, match=r"Revision other\.1 of the routing table was not live after 1 s"):
        await proxy.start()
    assert not is_alive(pid_of(proxy))


async def test_an_adopted_traefik_that_does_not_answer_is_replaced(site, monkeypatch):
    first = await left_running(site)
    os.kill(pid_of(first), signal.SIGSTOP)
    monkeypatch.setattr(supervisor, "_START_TIMEOUT", 1)
    monkeypatch.setattr(supervisor, "_STOP_TIMEOUT", 1)
    second = site.proxy()
    starting = asyncio.create_task(second.start())
    await until(lambda: not is_alive(pid_of(first)), "the frozen Traefik was not ended")
    monkeypatch.setattr(supervisor, "_START_TIMEOUT", 30)
    await starting
    await second.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"


async def test_extra_configuration_is_merged(site):
    proxy = await site.started(
        extra_static_config={"accessLog": {"filePath": str(site.directory / "access.log")}},
        extra_dynamic_config={
            "http": {
                "routers": {"teapot": {"rule": "Path(`/user/a/teapot`)", "service": "other"}},
                "services": {"other": {"loadBalancer": {"servers": [{"url": await site.server("other")}]}}},
            }
        },
    )
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"
    assert await site.client.server("/user/a/teapot") == "other"
    await until(lambda: "/user/a/teapot" in (site.directory / "access.log").read_text(), "no access log")


async def test_paths_of_an_admin_are_relative_to_the_hubs_working_directory(site, monkeypatch):
    """Traefik's own working directory is another one."""
    monkeypatch.chdir(site.directory)
    (site.directory / "mine").mkdir()
    users = site.directory / "mine" / "users"
    users.write_text("admin:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n")  # pass
    certificate, key = self_signed("other.example")
    (site.directory / "mine" / "cert.pem").write_bytes(certificate)
    (site.directory / "mine" / "key.pem").write_bytes(key)
    tls_port = free_port()
    proxy = await site.started(
        extra_static_config={
            "accessLog": {"filePath": "mine/access.log"},
            "entryPoints": {"tls": {"address": f"127.0.0.1:{tls_port}", "http": {"tls": {}}}},
        },
        extra_dynamic_config={
            "http": {
                "routers": {"other": {"rule": "Path(`/other`)", "service": "other", "middlewares": ["password"]}},
                "services": {"other": {"loadBalancer": {"servers": [{"url": await site.server("other")}]}}},
                "middlewares": {"password": {"basicAuth": {"usersFile": "mine/users"}}},
            },
            "tls": {"certificates": [{"certFile": "mine/cert.pem", "keyFile": "mine/key.pem"}]},
        },
    )
    assert os.readlink(f"/proc/{pid_of(proxy)}/cwd") == str(site.directory / "run")
    url = f"http://127.0.0.1:{site.port}/other"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as answer:
            assert answer.status == 401
        async with session.get(url, headers={"Authorization": "Basic YWRtaW46cGFzcw=="}) as answer:
            assert (await answer.json())["server"] == "other"
    served = await asyncio.to_thread(served_certificate, tls_port, "other.example")
    assert served == ssl.PEM_cert_to_DER_cert(certificate.decode())
    await until(lambda: "/other" in (site.directory / "mine" / "access.log").read_text(), "no access log")


def served_certificate(port, name):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        context.wrap_socket(connection, server_hostname=name) as tls,
    ):
        return tls.getpeercert(binary_form=True)


async def test_tls_with_jupyterhubs_certificate(site):
    certificate, key = site.directory / "cert.pem", site.directory / "key.pem"
    for path, content in zip((certificate, key), self_signed("hub.example"), strict=True):
        path.write_bytes(content)
    proxy = site.proxy()
    proxy.public_url = f"https://127.0.0.1:{site.port}/"
    proxy.ssl_cert, proxy.ssl_key = str(certificate), str(key)
    await proxy.start()
    await proxy.add_route("/user/a/", await site.server("a"), {})
    url = f"https://127.0.0.1:{site.port}/user/a/"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=False) as answer:
        assert (await answer.json())["server"] == "a"
    served = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", site.port))
    assert served.split() == certificate.read_text().split()
    await proxy.stop()
    assert certificate.exists()
    assert key.exists()


async def test_a_frozen_traefik_fails_the_add_and_takes_the_route_back(site):
    proxy = await site.started(ready_timeout=4)
    server = await site.server("a")
    os.kill(pid_of(proxy), signal.SIGSTOP)
    try:
        with pytest.raises(RouteNotReady, match=r"p\.user\.a@file in revision .* not live after 4 s: .*no answer"):
            await proxy.add_route("/user/a/", server, {})
        assert await proxy.get_all_routes() == {}
    finally:
        os.kill(pid_of(proxy), signal.SIGCONT)
    proxy.control.changes.timeout = 30
    await proxy.add_route("/user/b/", server, {})
    assert await site.client.server("/user/b/") == "a"
    assert await site.client.server("/user/a/") is None


# Fake: no release below the floor need be installed to see it refused.
OLD_TRAEFIK = "#!/bin/sh\necho 'Version:      3.6.5'\n"


async def test_an_old_traefik_is_refused(site):
    binary = site.directory / "old-traefik"
    binary.write_text(OLD_TRAEFIK)
    binary.chmod(0o700)
    proxy = site.proxy(traefik_cmd=[str(binary)])
    with pytest.raises(TraefikError, match=r"old-traefik is Traefik 3\.6\.5, but 3\.7\.13 or newer"):
        await proxy.start()


@pytest.mark.parametrize("version", ["3.7.13", "3.7.15", "v3.8.0", "4.0.0"])
def test_versions_that_will_do(version):
    check_version(version, "it")


@pytest.mark.parametrize("version", ["2.11.57", "3.6.30", "3.7.12", "dev", ""])
def test_versions_that_will_not_do(version):
    with pytest.raises(TraefikError, match="it is Traefik"):
        check_version(version, "it")


def test_a_missing_traefik_is_explained():
    with pytest.raises(TraefikError, match=r"no such program.*pip install"):
        find_traefik(["no-such-traefik"])


async def test_replicas_that_others_start(site, tmp_path):
    """Two of them; one goes down, and holds nobody up; with both down, an add fails cleanly."""
    hub = site.proxy(should_start=False, traefik_api_urls=["http://127.0.0.1:1"], ready_timeout=2)
    with pytest.raises(RouteNotReady, match="cannot be reached"):
        await hub.add_route("/user/early/", "http://127.0.0.1:1", {})
    assert await hub.get_all_routes() == {}
    await hub.stop()

    replicas = [start_replica(site, tmp_path / str(number)) for number in range(2)]
    try:
        urls = [f"http://127.0.0.1:{api}" for _, _, api in replicas]
        proxy = site.proxy(
            should_start=False, traefik_api_urls=urls, traefik_api_username="admin", traefik_api_password="pass"
        )
        assert await proxy.get_all_routes() == {}
        await until(lambda: all_answer(proxy), "the replicas did not start")
        server = await site.server("a")
        await proxy.add_route("/user/a/", server, {})
        for _, port, _ in replicas:
            assert await get_server(port, "/user/a/") == "a"
        process, _, _ = replicas[0]
        process.kill()
        process.wait()
        await proxy.add_route("/user/b/", server, {})
        assert await get_server(replicas[1][1], "/user/b/") == "a"
        await proxy.delete_route("/user/a/")
        assert await get_server(replicas[1][1], "/user/a/") is None

        await proxy.stop()
        stranger = site.proxy(should_start=False, traefik_api_urls=urls, traefik_api_password="wrong", ready_timeout=1)
        with pytest.raises(RouteNotReady, match="refuses our credential"):
            await stranger.add_route("/user/c/", server, {})
    finally:
        for process, _, _ in replicas:
            process.kill()
            process.wait()


@pytest.mark.parametrize("traits", [{}, {"should_start": False, "traefik_api_urls": ["http://127.0.0.1:1"]}])
async def test_the_store_is_closed_with_the_hub(site, monkeypatch, traits):
    """JupyterHub calls no stop() with cleanup_proxy = False, or should_start = False: it cancels all tasks."""
    proxy = site.proxy(**traits)
    closed = asyncio.Event()

    async def close():
        closed.set()

    monkeypatch.setattr(proxy.backend, "close", close)
    await (proxy.start() if proxy.should_start else proxy.get_all_routes())
    assert not closed.is_set()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert closed.is_set()


async def test_replicas_must_be_named(site):
    with pytest.raises(TraefikError, match="traefik_api_urls must name"):
        await site.proxy(should_start=False).get_all_routes()
    with pytest.raises(TraefikError, match="is not the URL of a Traefik API"):
        await site.proxy(should_start=False, traefik_api_urls=["localhost:8099"]).get_all_routes()
    with pytest.raises(TraefikError, match="at localhost:8099 has a user name in it") as refused:
        await site.proxy(should_start=False, traefik_api_urls=["http://me:s3cret@localhost:8099"]).get_all_routes()
    assert "s3cret" not in str(refused.value)


async def all_answer(proxy):
    async with aiohttp.ClientSession() as session:
        for replica in proxy.control.readiness._replicas:
            try:
                await replica.api.version(session)
            except TraefikError:
                return False
    return True


async def get_server(port, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return (await answer.json())["server"] if answer.status == 200 else None


def start_replica(site, directory):
    """A Traefik as an admin would start it, reading the table's directory; its API's user is admin:pass."""
    directory.mkdir()
    port, api = free_port(), free_port()
    table = site.directory / "table" / site.store.prefix / "traefik"
    (table / "api.toml").write_text(
        """
        [http.routers.api]
        rule = "PathPrefix(`/api`)"
        entryPoints = ["api"]
        service = "api@internal"
        middlewares = ["api-auth"]
        [http.middlewares.api-auth.basicAuth]
        users = ["admin:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ="]
        """
    )
    (directory / "traefik.toml").write_text(
        f"""
        [entryPoints.public]
        address = "127.0.0.1:{port}"
        asDefault = true
        [entryPoints.api]
        address = "127.0.0.1:{api}"
        [api]
        dashboard = false
        [providers]
        providersThrottleDuration = "0s"
        [providers.file]
        directory = "{table}"
        """
    )
    command = find_traefik(["traefik"])
    process = subprocess.Popen([*command, f"--configFile={directory}/traefik.toml"], stdin=subprocess.DEVNULL)
    return process, port, api
