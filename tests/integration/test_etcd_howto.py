"""What the page about etcd shows, with real etcdctl, etcd and Traefik."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack

import tomli_w
from traitlets.config import PyFileConfigLoader

from jhub_kvproxy.hub.proxy import KVProxy
from servers.etcd import EtcdServer
from servers.ports import free_port
from servers.traefik import Traefik
from tests.etcdctl import etcdctl
from tests.hub import until
from tests.pages import HOW_TO, texts
from tests.servers import Client, user_server

PAGE = HOW_TO / "etcd.md"
PASSWORD = "pass-word"


async def test_what_the_page_shows(tmp_path, monkeypatch):
    user, enable, traefik, _, look, remove = texts(PAGE, "console")
    monkeypatch.setenv("KVPROXY_ETCD_PASSWORD", PASSWORD)
    public, api = free_port(), free_port()
    client = Client(public)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(EtcdServer(tmp_path / "etcd"))
        etcdctl(server, user, PASSWORD)
        etcdctl(server, enable, PASSWORD)
        etcdctl(server, traefik, PASSWORD)
        provider = re.sub(r'"10\.0\.0\.\d:2379"', f'"127.0.0.1:{server.port}"', texts(PAGE, "toml")[0])
        provider = provider.replace("/etc/traefik", str(tmp_path)).replace("PUT-THE-PASSWORD-HERE", PASSWORD)
        entry_points = {
            "public": {"address": f"127.0.0.1:{public}", "asDefault": True},
            "api": {"address": f"127.0.0.1:{api}"},
        }
        static = tomli_w.dumps({"api": {}, "entryPoints": entry_points}) + provider
        (tmp_path / "traefik.toml").write_text(static)
        (tmp_path / "dynamic").mkdir()
        router = {"rule": "PathPrefix(`/api`)", "entryPoints": ["api"], "service": "api@internal"}
        (tmp_path / "dynamic" / "site.toml").write_text(tomli_w.dumps({"http": {"routers": {"api": router}}}))
        stack.enter_context(Traefik(tmp_path / "traefik.toml"))
        first, username = texts(PAGE, "python")[:2]
        (tmp_path / "jupyterhub_config.py").write_text(first + username)
        config = PyFileConfigLoader("jupyterhub_config.py", path=str(tmp_path)).load_config()
        config.EtcdBackend.urls = [server.url]
        config.KVProxy.should_start = False
        config.KVProxy.traefik_api_urls = [f"http://127.0.0.1:{api}"]
        proxy = KVProxy(public_url=f"http://127.0.0.1:{public}/", config=config)
        stack.push_async_callback(client.close)
        stack.push_async_callback(proxy.stop)
        await proxy.add_route("/", await stack.enter_async_context(user_server("hub")), {})

        async def served():
            return await client.server("/hub/") == "hub"

        await until(served, "Traefik does not serve the route")
        assert "jupyterhub/routes/p\n" in etcdctl(server, look, PASSWORD)
        etcdctl(server, remove, PASSWORD)
        assert etcdctl(server, look, PASSWORD) == ""
