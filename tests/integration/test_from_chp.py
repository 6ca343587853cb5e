"""What docs/reference/from-chp.md says of configurable-http-proxy's options, where no other test shows it."""

from __future__ import annotations

import json
import os
import ssl
import tomllib

import aiohttp
import pytest
from aiohttp import web

from jhub_kvproxy.traefik.certificate import self_signed
from servers.ports import free_port
from tests.servers import serving

LOCATION = "http://somewhere.example:99/login?next=%2F"


async def status_of(url, **options):
    async with aiohttp.ClientSession() as session, session.get(url, **options) as answer:
        return answer.status


async def test_it_listens_where_the_hub_says(site):
    await site.started(delivery="push")
    assert await status_of(f"http://127.0.0.1:{site.port}/") == 404
    with pytest.raises(aiohttp.ClientConnectorError):
        await status_of(f"http://127.0.0.2:{site.port}/")


async def test_a_location_reaches_the_browser_as_the_server_wrote_it(site):
    async def redirect(_):
        return web.Response(status=302, headers={"Location": LOCATION})

    proxy = await site.started(delivery="push")
    async with serving(redirect) as url:
        await proxy.add_route("/", url, {})
        address = f"http://127.0.0.1:{site.port}/x"
        async with aiohttp.ClientSession() as session, session.get(address, allow_redirects=False) as answer:
            assert answer.headers["Location"] == LOCATION


@pytest.mark.parametrize(("insecure", "status"), [(True, 200), (False, 502)])
async def test_certificates_of_servers_may_go_unchecked(site, insecure, status):
    async def hello(_):
        return web.Response(text="hello")

    certificate, key = self_signed()
    (site.directory / "pair.pem").write_bytes(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(site.directory / "pair.pem")
    extra = {"serversTransport": {"insecureSkipVerify": insecure}}
    proxy = await site.started(delivery="push", extra_static_config=extra)
    async with serving(hello, context) as url:
        await proxy.add_route("/", url, {})
        assert await status_of(f"http://127.0.0.1:{site.port}/") == status


async def test_the_rest_api_behind_traefik(site):
    port = free_port()
    extra = {
        "http": {
            "routers": {"rest-api": {"rule": "PathPrefix(`/api/routes`)", "service": "rest-api"}},
            "services": {"rest-api": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}},
        }
    }
    traits = {"rest_api_port": port, "rest_api_token": "s3cret", "extra_dynamic_config": extra}
    await site.started(delivery="push", **traits)
    url = f"http://127.0.0.1:{site.port}/api/routes"
    assert await status_of(url) == 403
    assert await status_of(url, headers={"Authorization": "token s3cret"}) == 200


async def test_traefik_logs_as_told(site):
    await site.started(delivery="push", traefik_log_level="WARN")
    config = tomllib.loads((site.directory / "run" / "traefik.toml").read_text())
    assert config["log"]["level"] == "WARN"


async def test_traefiks_process_id_is_in_its_state_file(site):
    await site.started(delivery="push")
    pid = json.loads((site.directory / "run" / "traefik.json").read_text())["pid"]
    assert "traefik" in os.readlink(f"/proc/{pid}/exe")
