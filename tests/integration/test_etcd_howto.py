"""What the page about etcd shows, with real etcdctl, etcd and Traefik."""

from __future__ import annotations

import re
import shlex
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

import tomli_w
from traitlets.config import PyFileConfigLoader

from jhub_kvproxy.hub.proxy import KVProxy
from servers.etcd import EtcdServer
from servers.ports import free_port
from servers.programs import find
from servers.traefik import Traefik
from tests.hub import until
from tests.pages import HOW_TO, texts
from tests.servers import Client, user_server

PAGE = HOW_TO / "etcd.md"
PASSWORD = "pass-word"


def run_commands(server: EtcdServer, block: str, *, root: bool = False) -> str:
    """Run the `etcdctl` commands of a block, with passwords, which they would ask for."""
    said = ""
    for line in block.splitlines():
        command = shlex.split(line.removeprefix("$ "))
        assert command[0] == "etcdctl"
        if command[1:3] == ["user", "add"]:
            command[3] += f":{PASSWORD}"
        command += ["--endpoints", server.url, *(["--user", f"root:{PASSWORD}"] if root else [])]
        result = subprocess.run(command, capture_output=True, text=True, env={"ETCDCTL_API": "3", "PATH": _path()})
        assert result.returncode == 0, f"{line}: {result.stderr}"
        said += result.stdout
    return said


def _path() -> str:
    return str(Path(find("etcdctl")).parent)


async def test_what_the_page_shows(tmp_path, monkeypatch):
    user, enable, traefik, _, look, remove = texts(PAGE, "console")
    monkeypatch.setenv("KVPROXY_ETCD_PASSWORD", PASSWORD)
    public, api = free_port(), free_port()
    client = Client(public)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(EtcdServer(tmp_path / "etcd"))
        run_commands(server, user)
        run_commands(server, enable)
        run_commands(server, traefik, root=True)
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
        assert "jupyterhub/routes/p\n" in run_commands(server, look, root=True)
        run_commands(server, remove, root=True)
        assert run_commands(server, look, root=True) == ""
