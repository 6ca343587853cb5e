"""``jhub-kvproxy migrate`` on real files, with right and wrong ones."""

from __future__ import annotations

import pytest

from tests.command import run

CHP = """
import os
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.ConfigurableHTTPProxy.command = ["configurable-http-proxy", "--timeout=1000", "--api-port=9",
    "--custom-header=Authorization: Basic very-secret", "--custom-header", "X-Token:", "very-secret"]
c.ConfigurableHTTPProxy.auth_token = "very-secret"
c.ConfigurableHTTPProxy.extra_routes = {"/docs/": "http://127.0.0.1:9000"}
"""
PEER = """
c.JupyterHub.proxy_class = "traefik_etcd"
c.TraefikEtcdProxy.etcd_url = "http://hub:very-secret@10.0.0.1:2379"
c.TraefikEtcdProxy.etcd_password = "very-secret"
c.TraefikProxy.traefik_api_password = "very-secret"
"""
Z2JH = """
hub:
  config:
    ConfigurableHTTPProxy: {auth_token: very-secret, extra_routes: {/docs/: http://docs:9000}}
proxy:
  secretToken: very-secret
  chp: {extraCommandLineFlags: [--change-origin]}
"""
TLJH = "https: {enabled: true, letsencrypt: {email: a@b, domains: [h]}}\ntraefik_api: {password: very-secret}\n"


@pytest.mark.parametrize(
    ("file", "text", "source", "lines"),
    [
        (
            "jupyterhub_config.py",
            CHP,
            "configurable-http-proxy",
            [
                'c.JupyterHub.proxy_class = "kvproxy"',
                "c.KVProxy.timeout = 1.0",
                "c.KVProxy.request_headers = {'Authorization': '***', 'X-Token': '***'}",
                "c.KVProxy.extra_routes = {'/docs/': 'http://127.0.0.1:9000'}",
            ],
        ),
        ("x.py", "", "configurable-http-proxy", ['c.JupyterHub.proxy_class = "kvproxy"']),
        (
            "x.py",
            PEER,
            "jupyterhub-traefik-proxy",
            [
                'c.JupyterHub.proxy_class = "kvproxy"',
                'c.KVProxy.backend_class = "etcd"',
                'c.KVProxy.prefix = "kvproxy"',
                "c.EtcdBackend.urls = ['http://hub@10.0.0.1:2379']",
            ],
        ),
        (
            "config.d/proxy.py",
            "from jupyterhub.proxy import ConfigurableHTTPProxy\nc.JupyterHub.proxy_class = ConfigurableHTTPProxy\n"
            "c.ConfigurableHTTPProxy.debug = True",
            "configurable-http-proxy",
            ['c.JupyterHub.proxy_class = "kvproxy"', 'c.KVProxy.traefik_log_level = "DEBUG"'],
        ),
        (
            "values.yaml",
            Z2JH,
            "z2jh",
            ["KVProxy:", '  extra_routes: {"/docs/": "http://docs:9000"}', "  change_origin: true"],
        ),
        (
            "config.yaml",
            TLJH,
            "tljh",
            [
                'c.JupyterHub.proxy_class = "kvproxy"',
                'c.JupyterHub.bind_url = "https://:443/"',
                "c.JupyterHub.cleanup_proxy = False",
                "c.KVProxy.traefik_cmd = ['/opt/tljh/kvproxy/bin/traefik']",
                "c.KVProxy.redirect_http = 80",
                'c.KVProxy.acme_email = "a@b"',
                "c.KVProxy.acme_domains = ['h']",
            ],
        ),
    ],
)
def test_right_input(file, text, source, lines, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    named = path.parent if file.startswith("config.d") else path
    as_json = run("migrate", "--json", "--config", named)
    assert (as_json.status, as_json.err) == (0, "")
    assert (as_json.json["from"], as_json.json["lines"]) == (source, lines)
    assert all(step["do"] for step in as_json.json["steps"])
    as_text = run("migrate", "--config", named)
    assert as_text.status == 0
    for line in lines:
        assert f"{line}\n" in as_text.out
    for printed in (as_json.out, as_text.out):
        assert "very-secret" not in printed
    for one in as_json.json["left"]:
        assert f"    {one['option']}\n" in as_text.out
    if source in ("configurable-http-proxy", "jupyterhub-traefik-proxy"):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "jupyterhub_config.py").write_text("\n".join(lines))
        checked = run("check", cwd=tmp_path / "new", KVPROXY_ETCD_PASSWORD="")
        assert "ok      config" in checked.out


def test_by_default_it_reads_the_file_that_is_here(tmp_path):
    (tmp_path / "jupyterhub_config.py").write_text(CHP)
    assert "c.KVProxy.timeout = 1.0\n" in run("migrate", cwd=tmp_path).out


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("missing.py", None, "There is no file"),
        ("missing.yaml", None, "cannot be read: No such file"),
        ("x.py", "1 +", "line 1"),
        ("x.yaml", "a: [", "is no YAML"),
        ("x.yaml", "- a", "holds no values"),
        ("x.py", 'c.JupyterHub.proxy_class = "kvproxy"', "is kvproxy: there is nothing to migrate"),
        ("x.py", 'c.JupyterHub.proxy_class = "mine.Proxy"', "is mine.Proxy: there is nothing to migrate"),
        ("empty.d", "", "no file ending in .py"),
        ("x.yaml", "proxy: [very-secret]", "x.yaml is not what z2jh takes"),
        ("x.yaml", "hub: {config: 3}", "x.yaml is not what z2jh takes"),
        ("x.yaml", "proxy: {chp: {extraCommandLineFlags: --port=3}}", "x.yaml is not what z2jh takes"),
        ("x.yaml", "https: true", "x.yaml is not what tljh takes"),
    ],
)
def test_wrong_input(file, text, sentence, tmp_path):
    path = tmp_path / file
    if file == "empty.d":
        path.mkdir()
    elif text is not None:
        path.write_text(text)
    result = run("migrate", "--config", path)
    assert (result.status, result.out) == (1, "")
    assert sentence in result.err.replace("\n", " ")
    assert "Traceback" not in result.err
    assert "very-secret" not in result.err


def test_options_of_a_configuration_have_no_effect():
    assert run("migrate", "--KVProxy.prefix=x").status == 2
