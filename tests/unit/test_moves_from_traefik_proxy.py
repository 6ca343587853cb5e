"""What options of jupyterhub-traefik-proxy become: lines that KVProxy takes, and reasons for the rest."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from jupyterhub.proxy import Proxy
from traitlets.config import Config

from jhub_kvproxy.cli.configured import configured_proxy
from jhub_kvproxy.cli.moves import Move
from jhub_kvproxy.cli.moves_from_traefik_proxy import SECTIONS, TRAITS, read_sections
from jhub_kvproxy.hub.proxy import KVProxy

PEER = Path(__file__).parents[2] / ".venv-peer" / "bin" / "python"
ASK = """
import json
from importlib.metadata import entry_points
classes = [point.load() for point in entry_points(group="jupyterhub.proxies") if point.name.startswith("traefik")]
print(json.dumps({kind.__name__: kind.class_trait_names(config=True) for kind in classes}))
"""
BASE = {
    "extra_routes": ({"/a/": "http://h:1"}, ["c.KVProxy.extra_routes = {'/a/': 'http://h:1'}"]),
    "extra_dynamic_config": ({"http": {}}, ["c.KVProxy.extra_dynamic_config = {'http': {}}"]),
    "extra_static_config": ({"log": {}}, ["c.KVProxy.extra_static_config = {'log': {}}"]),
    "check_route_timeout": (60, ["c.KVProxy.ready_timeout = 60.0"]),
    "should_start": (False, ["c.KVProxy.should_start = False"]),
    "traefik_log_level": ("debug", ['c.KVProxy.traefik_log_level = "DEBUG"']),
}
#: What is chosen for others than files.
STORE = {
    store: [f'c.KVProxy.backend_class = "{store}"', 'c.KVProxy.prefix = "kvproxy"']
    for store in ("etcd", "consul", "redis")
}
CASES = [
    *(("TraefikProxy", {option: value}, lines) for option, (value, lines) in BASE.items()),
    ("TraefikEtcdProxy", {"etcd_url": "http://h:2379"}, [*STORE["etcd"], "c.EtcdBackend.urls = ['http://h:2379']"]),
    ("TraefikEtcdProxy", {"kv_username": "u"}, [*STORE["etcd"], 'c.EtcdBackend.username = "u"']),
    (
        "TraefikEtcdProxy",
        {"etcd_client_kwargs": {"ca_cert": "/ca", "cert_cert": "/c", "cert_key": "/k", "timeout": 3}},
        [
            *STORE["etcd"],
            'c.EtcdBackend.ca_file = "/ca"',
            'c.EtcdBackend.cert_file = "/c"',
            'c.EtcdBackend.key_file = "/k"',
        ],
    ),
    ("TraefikConsulProxy", {"consul_url": "http://h:1"}, [*STORE["consul"], 'c.ConsulBackend.url = "http://h:1"']),
    (
        "TraefikConsulProxy",
        {"consul_client_kwargs": {"dc": "2"}},
        [*STORE["consul"], 'c.ConsulBackend.datacenter = "2"'],
    ),
    ("TraefikConsulProxy", {"consul_password": "secret"}, STORE["consul"]),
    (
        "TraefikRedisProxy",
        {"redis_url": "redis://u:secret@h:1/2", "redis_username": "me"},
        [*STORE["redis"], 'c.RedisBackend.url = "redis://u@h:1/2"', 'c.RedisBackend.username = "me"'],
    ),
    (
        "TraefikProxy",
        {"traefik_api_url": "http://h:8099", "should_start": False, "traefik_api_username": "me"},
        [
            "c.KVProxy.should_start = False",
            "c.KVProxy.traefik_api_urls = ['http://h:8099']",
            'c.KVProxy.traefik_api_username = "me"',
        ],
    ),
    ("TraefikProxy", {"traefik_api_url": "http://h:8099", "traefik_api_password": "secret"}, []),
]


def moved(section, options, proxy_class="") -> Move:
    move = Move()
    read_sections(move, {section: options}, proxy_class)
    return move


@pytest.mark.parametrize(("section", "options", "lines"), CASES)
def test_lines_that_are_taken(section, options, lines):
    move = moved(section, options)
    assert move.lines() == lines
    assert "secret" not in str(move)
    config = Config()
    for name, value in move.options.items():
        kind, option = name.split(".")
        config[kind][option] = value
    proxy = configured_proxy(config)
    for name in move.options:
        kind, option = name.split(".")
        known = KVProxy if kind == "KVProxy" else proxy.backend_class
        assert option in known.class_trait_names(config=True)


@pytest.mark.parametrize(
    ("section", "options", "variable"),
    [
        ("TraefikEtcdProxy", {"kv_password": "s"}, "KVPROXY_ETCD_PASSWORD"),
        ("TraefikConsulProxy", {"consul_password": "s"}, "KVPROXY_CONSUL_TOKEN"),
        ("TraefikRedisProxy", {"redis_url": "redis://:s@h:1"}, "KVPROXY_REDIS_PASSWORD"),
        ("TraefikProxy", {"should_start": False, "traefik_api_password": "s"}, "KVPROXY_TRAEFIK_API_PASSWORD"),
    ],
)
def test_secrets_move_into_the_environment(section, options, variable):
    move = moved(section, options)
    assert [name for name, _ in move.variables] == [variable]


@pytest.mark.parametrize("section", SECTIONS)
def test_each_option_has_a_line_a_variable_or_a_reason(section):
    for option in TRAITS[section]:
        move = moved(section, {option: {"x": 1} if option.endswith("kwargs") or option.startswith("extra") else "1"})
        assert move.found == [f"c.{section}.{option}"]
        own = {name for name in move.options if name not in ("KVProxy.backend_class", "KVProxy.prefix")}
        # By default the hub starts Traefik.
        assert own or move.left or move.variables or option == "should_start", option


def test_the_options_are_those_of_an_installed_one():
    if not PEER.exists():
        pytest.skip("jupyterhub-traefik-proxy is not installed")
    said = subprocess.run([PEER, "-c", ASK], capture_output=True, text=True, check=True).stdout
    of_all = {*Proxy.class_trait_names(config=True), "extra_routes", "should_start"}
    for kind, options in json.loads(said).items():
        assert set(options) - of_all <= set(TRAITS[kind]), kind


def test_the_class_decides_whose_options_count():
    move = Move()
    sections = {"TraefikEtcdProxy": {"etcd_url": "http://h:1"}, "TraefikRedisProxy": {"redis_url": "redis://h:2"}}
    read_sections(move, sections, "jupyterhub_traefik_proxy.redis.TraefikRedisProxy")
    assert move.lines() == [*STORE["redis"], 'c.RedisBackend.url = "redis://h:2"']
    assert [name for name, _ in move.left] == ["c.TraefikEtcdProxy"]
