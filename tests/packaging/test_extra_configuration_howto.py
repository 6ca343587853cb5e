"""What the page on further configuration of Traefik shows is taken, and does what it says."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack

import aiohttp
import pytest

from jhub_kvproxy.hub.proxy import KVProxy
from servers.ports import free_port
from tests.pages import HOW_TO, blocks, each, load
from tests.servers import Client, user_server

EXTRA = HOW_TO / "extra-configuration.md"


@each(blocks("python", "# jupyterhub_config.py", [EXTRA]))
async def test_traefik_takes_the_extra_configuration(block, tmp_path):
    text = re.sub(r'"address": "[\d.]*:\d+"', lambda _: f'"address": "127.0.0.1:{free_port()}"', block.text)
    config = load(text.replace("/var/log/jupyterhub", str(tmp_path)), tmp_path)
    config.KVProxy.runtime_dir = str(tmp_path / "run")
    config.TomlBackend.path = str(tmp_path / "table")
    proxy = KVProxy(public_url=f"http://127.0.0.1:{free_port()}/", config=config)
    await proxy.start()
    try:
        async with aiohttp.ClientSession() as session:
            assert await proxy.control.local.supervisors[0].api.errors(session) == {}
    finally:
        await proxy.stop()


@pytest.mark.parametrize("host", ["", "hub.example.org"])
async def test_a_router_of_the_admins_comes_before_all_routes(host, tmp_path):
    [block] = [block for block in blocks("python", "# jupyterhub_config.py", [EXTRA]) if "handbook" in block.text]
    port = free_port()
    client = Client(port)
    async with AsyncExitStack() as stack:
        handbook, other = [await stack.enter_async_context(user_server(name)) for name in ("handbook", "other")]
        config = load(block.text.replace("http://127.0.0.1:9000", handbook), tmp_path)
        config.KVProxy.runtime_dir = str(tmp_path / "run")
        config.TomlBackend.path = str(tmp_path / "table")
        proxy = KVProxy(public_url=f"http://127.0.0.1:{port}/", host_routing=bool(host), config=config)
        stack.push_async_callback(client.close)
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        await proxy.add_route(f"{host}/", other, {})
        await proxy.add_route(f"{host}/handbook/x/", other, {})
        for path, name in [("/handbook/x/y", "handbook"), ("/handbook", "other"), ("/", "other")]:
            assert await client.server(path, host or "127.0.0.1") == name
