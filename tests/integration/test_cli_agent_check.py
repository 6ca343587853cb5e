"""``jhub-kvproxy agent --check``: what an agent needs, tested from its own machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import tomli_w
from traitlets.config import Config

from servers.consul import ConsulServer
from servers.ports import free_port
from tests.command import fill, traefik, tree
from tests.integration.test_agent_program import WITHOUT_JUPYTERHUB

TOKEN = "a-token-of-agents"


def check(directory, *words, **tables):
    """The exit status, and what is said, where no JupyterHub is installed."""
    (directory / "agent.toml").write_text(tomli_w.dumps(tables))
    environment = {**os.environ, "KVPROXY_AGENT_TOKEN": TOKEN}
    command = [sys.executable, "-c", WITHOUT_JUPYTERHUB, "agent", "--check", *words]
    result = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    assert TOKEN not in result.stdout + result.stderr
    return result.returncode, result.stdout + result.stderr


@pytest.fixture
def table(tmp_path):
    fill(Config({"TomlBackend": {"path": str(tmp_path / "store")}}), 2)
    return {"TomlBackend": {"path": str(tmp_path / "store")}}


def test_all_is_well(tmp_path, table):
    before = tree(tmp_path / "store")
    status, said = check(tmp_path, "--traefik", **table)
    assert status == 0, said
    assert [line.split()[:2] for line in said.splitlines()] == [
        ["ok", step] for step in ("config", "open", "table", "watch", "traefik")
    ]
    assert "'jupyterhub' holds 2 routes." in said
    assert tree(tmp_path / "store") == before


def test_a_traefik_without_the_plugin_or_that_is_not_there(tmp_path, table):
    with traefik(tmp_path, {"providers": {"providersThrottleDuration": "0s"}}) as url:
        status, said = check(tmp_path, Agent={"traefik_api_url": url}, **table)
    assert status == 1
    assert "does not have our plugin" in said
    status, said = check(tmp_path, Agent={"traefik_api_url": f"http://127.0.0.1:{free_port()}"}, **table)
    assert status == 1
    assert "cannot be reached" in said


def test_a_certificate_that_is_not_there(tmp_path, table):
    status, said = check(tmp_path, "--traefik", Agent={"tls_cert": "none.pem", "tls_key": "none.pem"}, **table)
    assert status == 1
    assert "FAILED  tls     Agent.tls_cert (none.pem) and Agent.tls_key (none.pem) cannot be used: " in said


def test_a_directory_of_the_cache_that_is_not_there(tmp_path, table):
    """systemd makes it when the unit starts first, and an agent runs without a cache, too."""
    status, said = check(tmp_path, "--traefik", Agent={"cache": "none/table.json"}, **table)
    assert status == 0, said
    assert f"note    cache   {tmp_path}/none, for Agent.cache, is not there, or " in said
    status, said = check(tmp_path, "--traefik", Agent={"cache": "table.json"}, **table)
    assert "note" not in said


def test_a_token_that_may_read_is_enough_and_none_is_not(tmp_path, monkeypatch):
    with ConsulServer(tmp_path / "consul", acl=True) as server:
        tables = {"KVProxy": {"backend_class": "consul"}, "ConsulBackend": {"url": server.url}}
        monkeypatch.setenv("KVPROXY_CONSUL_TOKEN", server.token('key_prefix "jupyterhub/" { policy = "read" }'))
        status, said = check(tmp_path, "--traefik", **tables)
        assert (status, "holds no table yet" in said) == (0, True), said
        monkeypatch.setenv("KVPROXY_CONSUL_TOKEN", server.token('key_prefix "other/" { policy = "read" }'))
        status, said = check(tmp_path, "--traefik", **tables)
    assert status == 1
    assert "FAILED" in said
    assert "bug" not in said
