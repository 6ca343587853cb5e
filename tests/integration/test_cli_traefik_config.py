"""``jhub-kvproxy traefik-config``: what it prints, and what it keeps to itself."""

from __future__ import annotations

import os
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
    life_cycle = {"requestAcceptGraceTimeout": "10s", "graceTimeOut": "30s"}
    assert public["transport"]["lifeCycle"] == life_cycle
    assert static["entryPoints"]["api"] == {"address": ":9099", "transport": {"lifeCycle": life_cycle}}
    assert static["providers"]["etcd"]["rootKey"] == "jupyterhub/traefik"
    assert static["accessLog"] == {}
    assert run("traefik-config", "--api-address", "10.0.0.2:1", cwd=hub).out.count("10.0.0.2:1") == 1


FRONT = """
c.JupyterHub.ssl_cert = c.JupyterHub.ssl_key = "/etc/ssl/hub.pem"
c.KVProxy.tls_min_version = "1.3"
c.KVProxy.client_ca = "/etc/ssl/clients.pem"
c.KVProxy.redirect_http = 8080
c.KVProxy.redirect_http_to = 443
c.KVProxy.response_headers = {"Strict-Transport-Security": "max-age=31536000"}
c.KVProxy.request_headers = {"X-Braces": "{{"}
c.KVProxy.keep_alive_timeout = 65
c.KVProxy.access_log = "/var/log/jupyterhub/access.log"
c.KVProxy.acme_domains = ["hub.example.org", "www.example.org"]
"""


def test_the_front_door_is_the_hubs(hub):
    (hub / "jupyterhub_config.py").write_text(USES_KVPROXY + LINES + FRONT)
    static = tomllib.loads(run("traefik-config", cwd=hub).out)
    public, redirect = static["entryPoints"]["public"], static["entryPoints"]["redirect"]
    assert public["http"]["middlewares"] == ["kvproxy-headers@file"]
    assert public["transport"]["respondingTimeouts"] == {"idleTimeout": "65000ms", "readTimeout": "3600000ms"}
    domains = [{"main": "hub.example.org", "sans": ["www.example.org"]}]
    assert public["http"]["tls"] == {"certResolver": "kvproxy", "domains": domains}
    assert redirect["address"] == "10.0.0.1:8080"
    assert redirect["http"]["redirections"]["entryPoint"]["to"] == ":443"
    assert static["certificatesResolvers"]["kvproxy"]["acme"]["storage"] == "/etc/traefik/acme.json"
    dynamic = tomllib.loads(run("traefik-config", "--dynamic", "--directory", "/srv", cwd=hub).out)
    options = dynamic["tls"]["options"]["default"]
    assert options["minVersion"] == "VersionTLS13"
    assert options["clientAuth"]["caFiles"] == ["/srv/client-ca.pem"]
    assert dynamic["http"]["middlewares"]["kvproxy-headers"]["headers"] == {
        "customResponseHeaders": {"Strict-Transport-Security": "max-age=31536000"},
        "customRequestHeaders": {"X-Braces": "{{ `{{` }}"},
    }


def test_secrets_are_shown_only_when_asked_for(hub):
    result = run("traefik-config", cwd=hub)
    assert SECRET not in result.out
    assert "# Secret, shown only with --secrets: providers.etcd.password\n" in result.out
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
        (["--dynamic", "--env"], 2, "argument --env: not allowed with argument --dynamic"),
        (["--config", "absent.py"], 1, "There is no file"),
        (["--env", "--KVProxy.traefik_api_password="], 1, "The hub has no password for Traefik's API"),
        (["--KVProxy.backend_class=absent"], 1, "There is no backend 'absent'"),
        (["--JupyterHub.bind_url=http+unix://x"], 1, "Traefik cannot listen on"),
        (["--JupyterHub.bind_url=http://:80", "--KVProxy.redirect_http=8080"], 1, "KVProxy.redirect_http needs TLS"),
        (["--KVProxy.tls_ciphers=x"], 1, "Traefik has no cipher suite 'x'"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(hub, words, status, sentence):
    result = run("traefik-config", *words, cwd=hub)
    assert (result.status, result.out) == (status, "")
    assert sentence in result.err
    assert result.err.count("\n") == status


@pytest.mark.parametrize(
    "line",
    [
        f'c.KVProxy.traefik_api_password = ["{SECRET}"]',
        f'c.KVProxy.delivery = "agent"\nc.Agent.traefik_api_url = ["http://hub:{SECRET}@127.0.0.1:8099"]',
    ],
)
def test_an_error_shows_no_secret(tmp_path, line):
    (tmp_path / "jupyterhub_config.py").write_text(f"{USES_KVPROXY}{line}\n")
    result = run("traefik-config", cwd=tmp_path)
    assert (result.status, result.out) == (1, "")
    assert "***" in result.err
    assert SECRET not in result.err


def test_for_an_agent_the_api_is_on_loopback_and_there_is_no_provider_but_files(tmp_path):
    config = 'c.KVProxy.should_start = False\nc.KVProxy.delivery = "agent"\nc.KVProxy.backend_class = "etcd"\n'
    (tmp_path / "jupyterhub_config.py").write_text(config)
    static = tomllib.loads(run("traefik-config", cwd=tmp_path).out)
    assert static["entryPoints"]["api"]["address"] == "127.0.0.1:8099"
    assert static["experimental"]["localPlugins"]
    assert "etcd" not in static["providers"]
    words = "traefik-config", "--Agent.traefik_api_url=http://127.0.0.1:9000"
    assert tomllib.loads(run(*words, cwd=tmp_path).out)["entryPoints"]["api"]["address"] == "127.0.0.1:9000"


@pytest.mark.parametrize(
    ("urls", "address"),
    [
        ([], "127.0.0.1:8099"),
        (["http://127.0.0.1:9099"], "127.0.0.1:9099"),
        (["http://127.0.0.1:9099", "http://127.0.0.1:9100"], "127.0.0.1:9099"),
        (["http://localhost:9099"], "127.0.0.1:9099"),
        (["http://[::1]:9099"], "[::1]:9099"),
        (["http://127.0.0.1:9099", "http://10.0.0.1:9099"], ":9099"),
        (["http://traefik.example.org:9099"], ":9099"),
    ],
)
def test_the_api_is_on_loopback_if_nobody_asks_it_from_elsewhere(urls, address, tmp_path):
    (tmp_path / "jupyterhub_config.py").write_text(f"c.KVProxy.traefik_api_urls = {urls!r}\n")
    static = tomllib.loads(run("traefik-config", cwd=tmp_path).out)
    assert static["entryPoints"]["api"]["address"] == address


WAYS = {"static": ["--secrets"], "dynamic": ["--dynamic"], "environment": ["--env"]}


@pytest.mark.parametrize("way", WAYS)
def test_what_it_writes_is_for_the_owner_only_and_what_it_would_print(way, hub):
    printed = run("traefik-config", *WAYS[way], cwd=hub).out
    before = set(os.listdir(hub))
    result = run("traefik-config", *WAYS[way], "--output", "here.toml", cwd=hub)
    assert (result.status, result.out, result.err) == (0, "", "")
    assert (hub / "here.toml").read_text() == printed
    assert (hub / "here.toml").stat().st_mode & 0o777 == 0o600
    assert set(os.listdir(hub)) - before == {"here.toml"}
    as_json = run("traefik-config", *WAYS[way], "--json", "--output=here.json", cwd=hub)
    assert (as_json.status, as_json.out) == (0, "")
    assert (hub / "here.json").read_text() == run("traefik-config", *WAYS[way], "--json", cwd=hub).out


def test_a_file_that_is_there_keeps_its_group_and_mode_but_shows_no_secret_to_all(hub):
    file = hub / "here.toml"
    for way, mode, then in [
        ("static", 0o640, 0o640),
        ("static", 0o644, 0o640),
        ("environment", 0o666, 0o660),
        ("dynamic", 0o644, 0o644),
    ]:
        file.write_text("old")
        file.chmod(mode)
        assert run("traefik-config", *WAYS[way], "--output", file, cwd=hub).status == 0
        assert file.stat().st_mode & 0o777 == then, way
        assert "old" not in file.read_text()


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--output", "absent/here.toml"], 1, "cannot be written: No such file or directory."),
        (["--output", "."], 1, "cannot be written: Is a directory."),
        (["--output", "here.toml", "--plugin", "."], 2, "--plugin writes into its DIRECTORY: leave --output out."),
        (["--output", "here.toml", "--KVProxy.tls_ciphers=x"], 1, "Traefik has no cipher suite 'x'"),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_nothing(words, status, sentence, hub):
    before = set(os.listdir(hub))
    result = run("traefik-config", *words, cwd=hub)
    assert (result.status, result.out) == (status, "")
    assert sentence in result.err
    assert set(os.listdir(hub)) == before


@pytest.mark.parametrize("address", ["8099", ":", "::1:8099", "127.0.0.1:65536", "host:http"])
def test_an_address_of_the_api_that_traefik_would_not_take(address, tmp_path):
    (tmp_path / "jupyterhub_config.py").write_text(USES_KVPROXY)
    result = run("traefik-config", f"--api-address={address}", cwd=tmp_path)
    assert (result.status, result.out) == (2, "")
    assert f"{address!r} is no address, such as 127.0.0.1:8099 or :8099." in result.err


def test_a_misspelt_option_on_the_command_line(tmp_path):
    (tmp_path / "jupyterhub_config.py").write_text(USES_KVPROXY)
    result = run("traefik-config", "--KVProxy.delivry=store", cwd=tmp_path)
    assert (result.status, result.out) == (2, "")
    assert "KVProxy has no such option; did you mean delivery?" in result.err
