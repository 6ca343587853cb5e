"""``jhub-kvproxy traefik-config``: what it prints, and what it keeps to itself."""

from __future__ import annotations

import tomllib

import pytest

from tests.command import USES_KVPROXY, run

SECRET = "Hush4Ever"
LINES = f"""
c.JupyterHub.bind_url = "https://10.0.0.1:8443"
c.JupyterHub.trusted_downstream_ips = ["10.0.0.9"]
c.KVProxy.should_start = False
c.KVProxy.traefik_api_urls = ["http://10.0.0.1:9099"]
c.KVProxy.traefik_api_password = "{SECRET}-api"
c.KVProxy.backend_class = "etcd"
c.KVProxy.extra_static_config = {{"accessLog": {{}}}}
c.KVProxy.extra_dynamic_config = {{"http": {{"middlewares": {{"mine": {{"compress": {{}}}}}}}}}}
c.EtcdBackend.username = "hub"
c.EtcdBackend.password = "{SECRET}"
"""


@pytest.fixture
def hub(tmp_path):
    (tmp_path / "jupyterhub_config.py").write_text(USES_KVPROXY + LINES)
    return tmp_path


def test_the_static_configuration_is_the_hubs(hub):
    result = run("traefik-config", cwd=hub)
    assert (result.status, result.err) == (0, "")
    static = tomllib.loads(result.out)
    public = static["entryPoints"]["public"]
    assert (public["address"], public["http"]["tls"]) == ("10.0.0.1:8443", {})
    assert public["forwardedHeaders"]["trustedIPs"] == ["10.0.0.9"]
    assert public["transport"]["lifeCycle"] == {"requestAcceptGraceTimeout": "10s", "graceTimeOut": "30s"}
    assert static["entryPoints"]["api"] == {"address": ":9099"}
    assert static["providers"]["etcd"]["rootKey"] == "jupyterhub/traefik"
    assert static["accessLog"] == {}
    assert run("traefik-config", "--api-address", "10.0.0.2:1", cwd=hub).out.count("10.0.0.2:1") == 1


def test_secrets_are_shown_only_when_asked_for(hub):
    result = run("traefik-config", cwd=hub)
    assert SECRET not in result.out
    assert "# Secret, and shown by --secrets only: providers.etcd.password\n" in result.out
    assert "password" not in run("traefik-config", "--json", cwd=hub).out
    shown = tomllib.loads(run("traefik-config", "--secrets", cwd=hub).out)
    assert shown["providers"]["etcd"]["password"] == SECRET
    for option in ("--dynamic", "--env"):
        assert SECRET not in run("traefik-config", option, cwd=hub).out


def test_the_dynamic_configuration_and_the_environment(hub):
    dynamic = tomllib.loads(run("traefik-config", "--dynamic", "--directory", "/srv", cwd=hub).out)
    assert dynamic["http"]["middlewares"]["mine"] == {"compress": {}}
    assert dynamic["tls"]["stores"]["default"]["defaultCertificate"]["certFile"] == "/srv/default-cert.pem"
    assert run("traefik-config", "--env", cwd=hub).out.startswith('KVPROXY_API_USERS="kvproxy:{SHA}')


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--dynamic", "--env"], 2, "ask for one"),
        (["--config", "absent.py"], 1, "There is no file"),
        (["--env", "--KVProxy.traefik_api_password="], 1, "The hub has no password for Traefik's API"),
        (["--KVProxy.backend_class=absent"], 1, "There is no backend 'absent'"),
        (["--JupyterHub.bind_url=http+unix://x"], 1, "Traefik cannot listen on"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(hub, words, status, sentence):
    result = run("traefik-config", *words, cwd=hub)
    assert (result.status, result.out) == (status, "")
    assert sentence in result.err
    assert result.err.count("\n") == 1
