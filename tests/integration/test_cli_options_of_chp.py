"""``check`` and ``traefik-config`` with each option that takes the place of one of configurable-http-proxy's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from servers.certificates import Authority
from servers.ports import free_port
from tests.command import USES_KVPROXY, run
from tests.pages import DOCS

PAGE = (DOCS / "reference" / "from-chp.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:KVProxy|JupyterHub)\.[a-z_]+)", PAGE)))

#: What others start is asked, and does not answer; the others of these are well.
OTHERS = {"KVProxy.should_start", "KVProxy.traefik_api_urls", "KVProxy.agent_urls"}
AWAY = "c.KVProxy.should_start = False\nc.KVProxy.ready_timeout = 0\n"
TLS = "c.JupyterHub.ssl_cert = CERT\nc.JupyterHub.ssl_key = KEY\n"
LINES = {
    "JupyterHub.bind_url": "c.JupyterHub.bind_url = f'http://127.0.0.1:{PORT}/base/'",
    "JupyterHub.internal_ssl": "c.JupyterHub.internal_ssl = True",
    "JupyterHub.log_level": "c.JupyterHub.log_level = 'WARN'",
    "JupyterHub.ssl_cert": TLS,
    "JupyterHub.ssl_key": TLS,
    "JupyterHub.subdomain_host": "c.JupyterHub.subdomain_host = 'https://hub.example.org'\n"
    "c.KVProxy.extra_routes = {'example.org/docs/': 'http://127.0.0.1:9000'}",
    "JupyterHub.trusted_downstream_ips": "c.JupyterHub.trusted_downstream_ips = ['10.0.0.7']",
    "KVProxy.activity": "c.KVProxy.activity = True",
    "KVProxy.agent_urls": AWAY + "c.KVProxy.agent_urls = ['http://127.0.0.1:1']\nc.KVProxy.agent_token = 'x'",
    "KVProxy.backend_class": "c.KVProxy.backend_class = 'toml'",
    "KVProxy.change_origin": "c.KVProxy.change_origin = ['/services/old/']",
    "KVProxy.client_auth": TLS + "c.KVProxy.client_ca = CA\nc.KVProxy.client_auth = 'optional'",
    "KVProxy.client_ca": TLS + "c.KVProxy.client_ca = CA",
    "KVProxy.delivery": "c.KVProxy.delivery = 'store'",
    "KVProxy.error_target": "c.KVProxy.error_target = 'http://127.0.0.1:9000/errors'",
    "KVProxy.extra_dynamic_config": "c.KVProxy.extra_dynamic_config = {'http': {'routers': {}}}",
    "KVProxy.extra_routes": "c.KVProxy.extra_routes = {'/docs': 'http://127.0.0.1:9000'}",
    "KVProxy.extra_static_config": "c.KVProxy.extra_static_config = {'serversTransport': {'insecureSkipVerify': True}}",
    "KVProxy.header_timeout": "c.KVProxy.header_timeout = 30",
    "KVProxy.keep_alive_timeout": "c.KVProxy.keep_alive_timeout = 5",
    "KVProxy.prepend_path": "c.KVProxy.prepend_path = False",
    "KVProxy.proxy_timeout": "c.KVProxy.proxy_timeout = 600",
    "KVProxy.redirect_http": TLS + "c.KVProxy.redirect_http = OTHER_PORT",
    "KVProxy.redirect_http_to": TLS + "c.KVProxy.redirect_http = OTHER_PORT\nc.KVProxy.redirect_http_to = 443",
    "KVProxy.request_headers": "c.KVProxy.request_headers = {'X-Site': 'here'}",
    "KVProxy.response_headers": "c.KVProxy.response_headers = {'X-Site': 'here'}",
    "KVProxy.rest_api_ip": "c.KVProxy.rest_api_port = OTHER_PORT\nc.KVProxy.rest_api_ip = '127.0.0.1'\n"
    "c.KVProxy.rest_api_token = 'x'",
    "KVProxy.rest_api_port": "c.KVProxy.rest_api_port = OTHER_PORT\nc.KVProxy.rest_api_token = 'x'",
    "KVProxy.rest_api_token": "c.KVProxy.rest_api_token = 'x'",
    "KVProxy.runtime_dir": "c.KVProxy.runtime_dir = 'run'",
    "KVProxy.should_start": AWAY + "c.KVProxy.traefik_api_urls = ['http://127.0.0.1:1']",
    "KVProxy.strip_prefix": "c.KVProxy.strip_prefix = ['/services/old/']",
    "KVProxy.timeout": "c.KVProxy.timeout = 60",
    "KVProxy.tls_ciphers": TLS + "c.KVProxy.tls_ciphers = ['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256']",
    "KVProxy.tls_min_version": TLS + "c.KVProxy.tls_min_version = '1.3'",
    "KVProxy.traefik_api_password": "c.KVProxy.traefik_api_password = 'x'",
    "KVProxy.traefik_api_urls": AWAY + "c.KVProxy.traefik_api_urls = ['http://127.0.0.1:1']",
    "KVProxy.traefik_cmd": "c.KVProxy.traefik_cmd = ['traefik']",
    "KVProxy.traefik_log_level": "c.KVProxy.traefik_log_level = 'DEBUG'",
    "KVProxy.traefik_metrics": "c.KVProxy.traefik_metrics = f'127.0.0.1:{OTHER_PORT}'",
    "KVProxy.trusted_proxies": "c.KVProxy.trusted_proxies = ['10.1.0.0/16']",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    cert, key = authority.issue("hub", common_name="hub.example.org")
    return f"CERT, KEY, CA = {cert!r}, {key!r}, {authority.ca_file!r}\n"


@pytest.fixture
def hub(tmp_path, files):
    """Writes a configuration with these lines, and returns its directory."""

    def write(lines: str) -> Path:
        port, other = free_port(), free_port()
        ours = f"PORT, OTHER_PORT = {port}, {other}\nc.JupyterHub.bind_url = f'http://127.0.0.1:{{PORT}}/'\n"
        (tmp_path / "jupyterhub_config.py").write_text(USES_KVPROXY + files + ours + lines + "\n")
        return tmp_path

    return write


def test_each_option_of_the_page_is_tried():
    assert sorted(LINES) == NAMED


@pytest.mark.parametrize("option", NAMED)
def test_check_takes_it(option, hub):
    result = run("check", cwd=hub(LINES[option]))
    assert (result.status, result.err) == (int(option in OTHERS), ""), result.out
    assert result.steps[0] == "ok config"
    assert "This is a bug" not in result.out


@pytest.mark.parametrize("option", NAMED)
def test_traefik_config_takes_it(option, hub):
    directory = hub(LINES[option])
    for words in ([], ["--dynamic"]):
        result = run("traefik-config", *words, cwd=directory)
        assert (result.status, result.err) == (0, "")
        assert tomllib.loads(result.out)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("c.KVProxy.extra_routes = {'docs/': 'http://127.0.0.1:9000'}", "missing leading '/'"),
        ("c.KVProxy.extra_routes = {'/docs/': '127.0.0.1:9000'}", "doesn't look like a URL"),
        (
            "c.JupyterHub.subdomain_host = 'http://hub.test'\nc.KVProxy.extra_routes = {'/docs/': 'http://127.0.0.1:1'}",
            "missing host component",
        ),
    ],
)
def test_an_extra_route_that_the_hub_would_refuse(lines, sentence, hub):
    directory = hub(lines)
    result = run("check", cwd=directory)
    assert (result.status, result.steps) == (1, ["FAILED config"])
    assert sentence in result.out
    result = run("traefik-config", cwd=directory)
    assert (result.status, result.out) == (1, "")
    assert sentence in result.err


def test_traefik_listens_where_jupyterhub_makes_it_of_ip_and_port(tmp_path):
    (tmp_path / "jupyterhub_config.py").write_text("c.JupyterHub.ip = '10.0.0.1'\nc.JupyterHub.port = 8443\n")
    static = tomllib.loads(run("traefik-config", cwd=tmp_path).out)
    assert static["entryPoints"]["public"]["address"] == "10.0.0.1:8443"
