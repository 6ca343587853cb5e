"""Traefik reads the table in Consul: with what the Hub tells it, and with what the documentation says."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jhub_kvproxy import Batch
from jhub_kvproxy_backends.consul import ConsulBackend
from servers.consul import ConsulServer
from servers.ports import free_port
from servers.traefik import Traefik
from tests.drivers import drivers
from tests.pages import HOW_TO
from tests.site import Site
from tests.stores import Store

PAGE = HOW_TO / "consul.md"


def shown(first_line: str) -> str:
    """The block of the documentation that begins with this comment."""
    found = re.search(rf"^```\w+\n# {re.escape(first_line)}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


async def serves(directory: Path, store: Store) -> None:
    """Assert that a Traefik of the Hub's serves what the Hub writes, and was told no secret that others could read."""
    async with AsyncExitStack() as stack:
        site = Site(directory, store, stack)
        stack.push_async_callback(site.client.close)
        proxy = await site.started()
        await proxy.add_route("/user/é/", await site.server("é"), {})
        assert await site.client.server("/user/%C3%A9/") == "é"
        await proxy.delete_route("/user/é/")
        assert await site.client.server("/user/%C3%A9/") is None
        if token := store.traits.get("token"):
            files = [file for file in (directory / "run").rglob("*") if not file.is_symlink() and file.is_file()]
            assert files
            process = Path(f"/proc/{proxy.control.local.supervisors[0]._pid}")
            for file in [*files, process / "cmdline", process / "environ"]:
                assert token.encode() not in file.read_bytes()


async def test_traefik_uses_the_token(tmp_path):
    prefix = "h%b/*é?"
    may_write = '{ policy = "write" }'
    rule = f'key_prefix "{ConsulBackend(prefix=prefix).root}/" {may_write} session_prefix "" {may_write}'
    with ConsulServer(tmp_path / "consul", acl=True) as server:
        await serves(tmp_path, Store("consul", {"url": server.url, "token": server.token(rule)}, prefix))


async def test_traefik_shows_the_certificate(tmp_path, authority):
    client = authority.issue("client", server=False)
    with ConsulServer(
        tmp_path / "consul",
        acl=True,
        certificate=authority.issue("server"),
        client_ca=authority.ca_file,
        ca_file=authority.ca_file,
        client=client,
    ) as server:
        traits = {"url": server.url, "ca_file": authority.ca_file, "token": server.master}
        await serves(tmp_path, Store("consul", {**traits, "cert_file": client[0], "key_file": client[1]}))


async def test_traefik_trusts_what_the_machine_trusts(tmp_path, monkeypatch, authority):
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)
    certificate = authority.issue("server")
    with ConsulServer(tmp_path / "consul", certificate=certificate, ca_file=authority.ca_file) as server:
        await serves(tmp_path, Store("consul", {"url": server.url}))


async def test_the_rules_for_the_hub(tmp_path):
    rules = shown("jupyterhub.hcl")
    with ConsulServer(tmp_path, acl=True) as server:
        wide = rules.replace('session "NODE"', 'session_prefix ""')
        assert wide != rules
        for given in (rules.replace("NODE", f"node-{server.port}"), wide):
            async with drivers(ConsulBackend, url=server.url, prefix="jupyterhub", token=server.token(given)) as new:
                backend = new()
                await backend.open()
                await backend.acquire_lease("hub", 60)
                await backend.apply(Batch({"routes/a": "1"}))
                assert (await backend.load()).keys == {"routes/a": "1"}
                await backend.remove()
        assert server.read("jupyterhub/") == {}


@pytest.mark.parametrize("lists", [False, True], ids=["", "enable_key_list_policy"])
async def test_a_traefik_run_by_others(tmp_path, lists):
    api = free_port()
    (tmp_path / "dynamic").mkdir()
    (tmp_path / "dynamic" / "site.toml").write_text("""
        [http.routers.kvproxy-api]
        rule = "PathPrefix(`/api`)"
        service = "api@internal"
        entryPoints = ["api"]
    """)
    with ConsulServer(tmp_path / "consul", acl=True, config={"acl": {"enable_key_list_policy": lists}}) as server:
        rules = shown("traefik.hcl")
        token = server.token(rules.replace('"read"', '"list"') if lists else rules)
        traits = {
            "url": server.url,
            "token": server.token(shown("jupyterhub.hcl").replace("NODE", f"node-{server.port}")),
        }
        async with AsyncExitStack() as stack:
            site = Site(tmp_path, Store("consul", traits, "jupyterhub"), stack)
            stack.push_async_callback(site.client.close)
            provider = shown("/etc/traefik/traefik.toml").replace("/etc/traefik", str(tmp_path))
            (tmp_path / "traefik.toml").write_text(f"""
                [api]
                [entryPoints.public]
                address = "127.0.0.1:{site.port}"
                asDefault = true
                [entryPoints.api]
                address = "127.0.0.1:{api}"
                [providers]
                providersThrottleDuration = "0s"
                {provider.replace("127.0.0.1:8500", f"127.0.0.1:{server.port}")}
            """)
            stack.enter_context(Traefik(tmp_path / "traefik.toml", env={"CONSUL_HTTP_TOKEN": token}))
            proxy = site.proxy(should_start=False, traefik_api_urls=[f"http://127.0.0.1:{api}"])
            await proxy.add_route("/user/a/", await site.server("a"), {})
            assert await site.client.server("/user/a/") == "a"
