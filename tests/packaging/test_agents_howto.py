"""What the page about agents shows: its files are ones that systemd, HAProxy, the agent and Traefik understand."""

from __future__ import annotations

import logging
import re
import subprocess
import tomllib

import pytest

from jhub_kvproxy.agent.agent_file import read_configuration
from jhub_kvproxy.agent.configuration import configured
from jhub_kvproxy.agent.gauges import Gauges
from jhub_kvproxy.traefik.plugin_files import plugin_static
from servers.programs import find
from tests.command import run
from tests.pages import HOW_TO, texts

PAGE = HOW_TO / "agents.md"
SETTINGS = [text for text in texts(PAGE, "toml") if text.startswith("# /etc/kvproxy/agent.toml")]


def agent_with(text, tmp_path, monkeypatch):
    monkeypatch.setenv("KVPROXY_AGENT_TOKEN", "a-token")
    file = tmp_path / "agent.toml"
    file.write_text(text)
    return configured(read_configuration(str(file), []), logging.getLogger())


@pytest.mark.parametrize("text", SETTINGS, ids=lambda text: text.splitlines()[-1])
def test_an_agent_takes_its_configuration(text, tmp_path, monkeypatch):
    chosen = agent_with(text, tmp_path, monkeypatch)
    assert set(chosen.backends) == set(chosen.settings.hubs)
    assert all(backend.read_only for backend in chosen.backends.values())


def test_a_secret_in_that_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(Exception, match="is a secret, which does not belong in this file"):
        agent_with('[EtcdBackend]\npassword = "x"\n[KVProxy]\nbackend_class = "etcd"\n', tmp_path, monkeypatch)


def test_traefik_gets_the_plugin_and_an_api_on_loopback(tmp_path, monkeypatch):
    [hub] = [text for text in texts(PAGE, "python") if "backend_class" in text]
    (tmp_path / "jupyterhub_config.py").write_text(hub)
    [commands] = [text for text in texts(PAGE, "console") if "traefik-config" in text]
    monkeypatch.setenv("KVPROXY_TRAEFIK_API_PASSWORD", "a-password")
    for line in commands.splitlines()[1:]:
        result = run(*line.removeprefix("$ jhub-kvproxy ").split(), cwd=tmp_path)
        assert result.status == 0, result.err
    static = tomllib.loads((tmp_path / "traefik.toml").read_text())
    assert static["entryPoints"]["api"]["address"] == "127.0.0.1:8099"
    assert static["experimental"] == plugin_static()["experimental"]
    assert "etcd" not in static["providers"]
    assert (tmp_path / "plugins-local").is_dir()


def test_haproxy_understands_the_backends(tmp_path):
    found = [text for text in texts(PAGE, "text") if text.startswith("backend ")]
    assert len(found) == 2
    for text in found:
        file = tmp_path / "haproxy.cfg"
        times = "timeout connect 2s\n timeout client 1h\n timeout server 1h"
        file.write_text(f"defaults\n mode http\n {times}\nfrontend users\n bind 127.0.0.1:8000\n{text}")
        result = subprocess.run([find("haproxy"), "-c", "-f", file], capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr


def test_systemd_understands_the_unit(tmp_path):
    [text] = texts(PAGE, "ini")
    # It looks for the programs, and for the users.
    text = re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", re.sub(r"User=\w+", "User=root", text))
    file = tmp_path / "kvproxy-agent.service"
    file.write_text(text)
    result = subprocess.run([find("systemd-analyze"), "verify", file], capture_output=True, text=True, timeout=60)
    assert (result.returncode, [line for line in result.stderr.splitlines() if file.name in line]) == (0, [])


def test_all_metrics_are_told():
    metrics = {
        f"{metric.name}_info" if metric.type == "info" else metric.name for metric in Gauges(_States()).collect()
    }
    assert set(re.findall(r"^\| `(kvproxy_agent_\w+)`", PAGE.read_text(), re.MULTILINE)) == metrics


class _States:
    def described(self):
        return {"hubs": {}}
