"""What the Traefik that the hub starts is configured with: by the hub, and by the admin."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import stat
import subprocess
import tomllib
from pathlib import Path

import aiohttp
import pytest

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik import supervisor
from jhub_kvproxy.traefik.admin_config import STATIC
from jhub_kvproxy.traefik.binary import find_traefik
from jhub_kvproxy.traefik.certificate import self_signed
from jhub_kvproxy_backends.toml import TomlBackend
from servers.ports import free_port
from servers.process import is_alive
from tests.hub import until
from tests.site import leave, pid_of


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


class SecretiveBackend(TomlBackend):
    def traefik_provider_secrets(self):
        return {"consul": {"token": "SECRET-TOKEN"}}


@pytest.mark.parametrize("change", [{"traefik_log_level": "FATAL"}, {"backend_class": SecretiveBackend}, "lost"])
async def test_a_traefik_with_an_older_configuration_is_replaced(site, change):
    first = await site.started()
    await leave(first)
    if change == "lost":
        (site.directory / "run" / "traefik-with-secrets.toml").unlink()
        change = {}
    second = await site.started(**change)
    assert pid_of(second) != pid_of(first)
    await until(lambda: not is_alive(pid_of(first)), "the old Traefik runs on")
    await second.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"


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
        (
            {"acme_resolver": {"caServer": None}},
            "KVProxy.acme_resolver: caServer is None, which TOML cannot hold; leave it out.",
        ),
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
            {"extra_static_config": {"entryPoints": {"public": {"http": True}}}, "response_headers": {"X": "y"}},
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
