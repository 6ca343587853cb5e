"""Options of other proxies, which have no effect here, are named by the hub and by ``jhub-kvproxy check``."""

from __future__ import annotations

import logging

import pytest
from traitlets.config import Config

from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.options.leftovers import leftovers
from tests.command import USES_KVPROXY, run

ROUTES = {"/docs/": "http://127.0.0.1:9000"}


@pytest.mark.parametrize(
    ("sections", "sentences"),
    [
        ({"KVProxy": {"extra_routes": ROUTES}, "Proxy": {"should_start": True}}, []),
        ({"ConfigurableHTTPProxy": {}}, []),
        (
            {"ConfigurableHTTPProxy": {"pid_file": "x"}},
            ["c.ConfigurableHTTPProxy.pid_file has no effect: the proxy is KVProxy."],
        ),
        (
            {"ConfigurableHTTPProxy": {"extra_routes": ROUTES, "auth_token": "x"}},
            [
                "c.ConfigurableHTTPProxy.auth_token and c.ConfigurableHTTPProxy.extra_routes have no effect: the proxy "
                "is KVProxy. Write c.KVProxy.extra_routes."
            ],
        ),
        (
            {
                "TraefikProxy": {"traefik_api_username": "x"},
                "TraefikFileProviderProxy": {"dynamic_config_file": "x", "should_start": False, "extra_routes": ROUTES},
                "TKvProxy": {"kv_username": "x"},
            },
            [
                "c.TKvProxy.kv_username has no effect: the proxy is KVProxy.",
                "c.TraefikFileProviderProxy.dynamic_config_file, c.TraefikFileProviderProxy.extra_routes and "
                "c.TraefikFileProviderProxy.should_start have no effect: the proxy is KVProxy. Write "
                "c.KVProxy.extra_routes.",
                "c.TraefikProxy.traefik_api_username has no effect: the proxy is KVProxy.",
            ],
        ),
    ],
)
def test_each_section_is_one_sentence(sections, sentences):
    assert list(leftovers(Config(sections), KVProxy)) == sentences


def test_the_hub_warns_of_them(caplog):
    log = logging.getLogger("test-leftovers")
    KVProxy(config=Config({"ConfigurableHTTPProxy": {"extra_routes": ROUTES}}), log=log)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Write c.KVProxy.extra_routes." in caplog.text


def test_check_notes_them_and_shows_no_value(tmp_path):
    lines = "c.ConfigurableHTTPProxy.auth_token = 'hush'\nc.ConfigurableHTTPProxy.extra_routes = {'/a/': 'http://b'}\n"
    (tmp_path / "jupyterhub_config.py").write_text(USES_KVPROXY + lines)
    result = run("check", "--KVProxy.traefik_cmd=absent", cwd=tmp_path)
    assert result.steps[:2] == ["ok config", "note config"]
    assert "Write c.KVProxy.extra_routes." in result.out
    assert "hush" not in result.out
