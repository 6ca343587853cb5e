"""What z2jh's values and TLJH's config.yaml become."""

from __future__ import annotations

import pytest

from jhub_kvproxy.cli.moves import Move
from jhub_kvproxy.cli.moves_from_values import TLJH_TRAEFIK, is_z2jh, read_tljh, read_z2jh

Z2JH = {
    "hub": {
        "config": {"ConfigurableHTTPProxy": {"extra_routes": {"/a/": "http://a:1"}, "debug": True}},
        "extraConfig": {
            "mine": "c.ConfigurableHTTPProxy.check_running_interval = 9",
            "other": "c.Spawner.cpu_limit = 1",
        },
    },
    "proxy": {
        "secretToken": "very-secret",
        "service": {"type": "LoadBalancer", "extraPorts": [{"name": "x"}]},
        "https": {"enabled": True, "hosts": ["h"]},
        "chp": {
            "command": ["configurable-http-proxy", "--change-origin"],
            "extraCommandLineFlags": ["--timeout=1000", "--proxy-timeout", "2000"],
            "errorTarget": "http://e:1",
            "resources": {"requests": {"cpu": 1}},
            "pdb": {"enabled": True},
            "extraPodSpec": {"priorityClassName": "x"},
        },
        "traefik": {"image": {"tag": "v3"}},
    },
}


def test_z2jh():
    move = Move()
    assert is_z2jh(Z2JH)
    read_z2jh(move, Z2JH)
    assert move.lines() == [
        "c.KVProxy.extra_routes = {'/a/': 'http://a:1'}",
        'c.KVProxy.traefik_log_level = "DEBUG"',
        "c.KVProxy.change_origin = True",
        "c.KVProxy.timeout = 1.0",
        "c.KVProxy.proxy_timeout = 2.0",
        'c.KVProxy.error_target = "http://e:1"',
    ]
    left = dict(move.left)
    assert left["hub.extraConfig.mine"] == (
        "It sets ConfigurableHTTPProxy.check_running_interval: see these options here."
    )
    assert "hub.extraConfig.other" not in left
    assert "podDisruptionBudget" in left["proxy.chp.pdb"]
    assert "resources" in left["proxy.chp.resources"]
    assert left["proxy.chp.extraPodSpec"] == "CHP's pod does nothing any more."
    assert "Helm does not merge lists" in left["proxy.service.extraPorts"]
    for option in ("proxy.https", "proxy.traefik", "proxy.secretToken", "proxy.service.type"):
        assert option in left
    assert "very-secret" not in str(move)


@pytest.mark.parametrize("values", [{"hub": None}, {"proxy": {"chp": {"command": ["x"], "resources": {}}}}])
def test_z2jh_without_anything_of_its_own(values):
    move = Move()
    assert is_z2jh(values)
    read_z2jh(move, values)
    assert (move.lines(), move.found, move.left) == ([], [], [])


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({}, ['c.JupyterHub.bind_url = "http://:80/"']),
        ({"http": {"port": 8000, "address": "10.0.0.1"}}, ['c.JupyterHub.bind_url = "http://10.0.0.1:8000/"']),
        ({"base_url": "/hub1/", "users": {"admin": ["a"]}}, ['c.JupyterHub.bind_url = "http://:80/hub1/"']),
        (
            {"http": {"port": 8080}, "https": {"enabled": True, "tls": {"key": "/k", "cert": "/c"}}},
            [
                'c.JupyterHub.bind_url = "https://:443/"',
                "c.KVProxy.redirect_http = 8080",
                'c.JupyterHub.ssl_key = "/k"',
                'c.JupyterHub.ssl_cert = "/c"',
            ],
        ),
        (
            {"https": {"enabled": True, "letsencrypt": {"email": "a@b", "domains": ["h"], "staging": True}}},
            [
                'c.JupyterHub.bind_url = "https://:443/"',
                "c.KVProxy.redirect_http = 80",
                'c.KVProxy.acme_email = "a@b"',
                "c.KVProxy.acme_domains = ['h']",
                "c.KVProxy.acme_resolver = {'caServer': 'https://acme-staging-v02.api.letsencrypt.org/directory'}",
            ],
        ),
        ({"https": {"enabled": False, "tls": {"key": "/k"}}}, ['c.JupyterHub.bind_url = "http://:80/"']),
    ],
)
def test_tljh(values, lines):
    move = Move()
    assert not is_z2jh(values)
    read_tljh(move, values)
    always = ["c.JupyterHub.cleanup_proxy = False", f"c.KVProxy.traefik_cmd = ['{TLJH_TRAEFIK}']"]
    assert move.lines() == [lines[0], *always, *lines[1:]]


def test_tljhs_password_of_the_api():
    move = Move()
    read_tljh(move, {"traefik_api": {"port": 8099, "password": "very-secret"}})
    assert [name for name, _ in move.left] == ["traefik_api"]
    assert "very-secret" not in str(move)
