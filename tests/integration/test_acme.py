"""Certificates that Traefik gets by itself, from a real ACME server."""

from __future__ import annotations

import json
import ssl
import stat

import pytest

from jhub_kvproxy import TraefikError
from servers.ports import free_port
from tests.acme import acme_server
from tests.hub import until
from tests.public_tls import get, served_name

NAME = "hub.kvproxy.test"


@pytest.mark.parametrize("challenge", ["tls", "http"])
async def test_a_certificate_is_got_and_kept(site, challenge):
    plain, storage = free_port(), site.directory / "acme.json"
    async with acme_server(site.directory / "acme", tls_port=site.port, http_port=plain) as server:
        settings = {"caServer": server.directory_url, "caCertificates": [server.ca_file]}
        if challenge == "http":
            settings["httpChallenge"] = {"entryPoint": "redirect"}
        traits = {
            "acme_domains": [NAME],
            "acme_email": "admin@kvproxy.test",
            "acme_storage": str(storage),
            "acme": settings,
            "redirect_http": plain,
            "delivery": "push",
        }
        proxy = await site.started(**traits)
        trust = ssl.create_default_context(cadata=server.root)

        async def is_trusted():
            try:
                await get(f"https://127.0.0.1:{site.port}/", trust, server_hostname=NAME)
                return True
            except OSError:
                return False

        await until(is_trusted, "no certificate was got")
        await proxy.add_route("/user/a/", await site.server("a"), {})
        answer = await get(f"https://127.0.0.1:{site.port}/user/a/x", trust, server_hostname=NAME)
        assert (await answer.json())["server"] == "a"
        await proxy.stop()
        assert stat.S_IMODE(storage.stat().st_mode) == 0o600
        assert json.loads(storage.read_text())["kvproxy"]["Account"]["Email"] == "admin@kvproxy.test"
    # The server is gone, and is not needed.
    await site.started(**traits)
    await until(is_trusted, "the certificate was not kept")
    # Who asks for another name gets a certificate that says nothing.
    assert await served_name(site.port, server_hostname="other.test") == "jhub-kvproxy default certificate"


async def test_several_traefiks_cannot_each_get_the_certificate(site):
    with pytest.raises(
        TraefikError, match=r"KVProxy\.acme_domains is for one Traefik, and KVProxy\.local_replicas is 2"
    ):
        await site.started(acme_domains=[NAME], local_replicas=2)
