"""What an agent makes of its configuration, be it the hub's or its own."""

from __future__ import annotations

import logging
from dataclasses import replace

import jupyterhub
import pytest
from jupyterhub.app import JupyterHub as RealJupyterHub
from jupyterhub.proxy import Proxy as RealProxy
from traitlets.config import Config

from jhub_kvproxy.agent.agent_file import read_configuration
from jhub_kvproxy.agent.configuration import configured
from jhub_kvproxy.agent.options import JupyterHub, Proxy
from jhub_kvproxy.agent.settings import AgentSettings
from jhub_kvproxy.options.config_file import ConfigurationError
from jhub_kvproxy.testing import MemoryBackend
from jhub_kvproxy_backends.etcd import EtcdBackend

LOG = logging.getLogger("test")
PY = """
import os
c.JupyterHub.proxy_class = "kvproxy"
c.JupyterHub.bind_url = "http://10.0.0.1:8443/jupyter/"
c.JupyterHub.ssl_cert = "/srv/cert.pem"
c.JupyterHub.ssl_key = "/srv/key.pem"
c.JupyterHub.trusted_downstream_ips = ["10.0.0.9"]
c.JupyterHub.services = [{"name": "announcement"}]
c.Spawner.default_url = "/lab"
c.KVProxy.should_start = False
c.KVProxy.delivery = "agent"
c.KVProxy.backend_class = "etcd"
c.KVProxy.prefix = "research"
c.KVProxy.traefik_api_username = "somebody"
c.KVProxy.extra_static_config = {"entryPoints": {"extra": {"address": ":9000"}}}
c.EtcdBackend.urls = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
c.Agent.ip = "10.0.0.1"
c.Agent.port = 9098
c.Agent.cache = "/var/lib/agent/cache.json"
"""
TOML = """
[JupyterHub]
bind_url = "http://10.0.0.1:8443/jupyter/"
ssl_cert = "/srv/cert.pem"
ssl_key = "/srv/key.pem"
trusted_downstream_ips = ["10.0.0.9"]

[KVProxy]
backend_class = "etcd"
prefix = "research"
traefik_api_username = "somebody"

[KVProxy.extra_static_config.entryPoints.extra]
address = ":9000"

[EtcdBackend]
urls = ["http://127.0.0.1:1", "http://127.0.0.1:2"]

[Agent]
ip = "10.0.0.1"
port = 9098
cache = "/var/lib/agent/cache.json"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KVPROXY_AGENT_TOKEN", "Hush4Ever")
    monkeypatch.setenv("KVPROXY_TRAEFIK_API_PASSWORD", "hush")


def chosen(name, text, *words):
    with open(name, "w") as file:
        file.write(text)
    return configured(read_configuration(name, list(words)), LOG)


def refusal(name, text, *words):
    with pytest.raises(ConfigurationError) as caught:
        chosen(name, text, *words)
    return str(caught.value)


def test_the_hubs_file_and_the_agents_own_give_the_same():
    hubs, own = chosen("jupyterhub_config.py", PY), chosen("agent.toml", TOML)
    assert replace(hubs, backends={}) == replace(own, backends={})
    settings = AgentSettings(
        hubs=("research",), token="Hush4Ever", ip="10.0.0.1", port=9098, cache="/var/lib/agent/cache.json"
    )
    assert own.settings == settings
    assert own.api == ("http://127.0.0.1:8099", "somebody", "hush")
    assert own.provider is None
    assert own.traefik.public_url == "https://10.0.0.1:8443/jupyter/"
    assert own.traefik.trusted_proxies == ("10.0.0.9",)
    assert own.traefik.extra_static_config == {"entryPoints": {"extra": {"address": ":9000"}}}
    for found in (hubs, own):
        [backend] = found.backends.values()
        assert isinstance(backend, EtcdBackend)
        assert (backend.prefix, backend.read_only) == ("research", True)
        assert backend.urls == ["http://127.0.0.1:1", "http://127.0.0.1:2"]


def test_each_hub_has_a_backend():
    found = chosen("agent.toml", '[Agent]\nhubs = ["research", "teaching"]\n')
    assert found.settings.hubs == ("research", "teaching")
    assert [(name, backend.prefix) for name, backend in found.backends.items()] == [
        ("research", "research"),
        ("teaching", "teaching"),
    ]


def test_words_override_the_file():
    words = "--Agent.port=1234", "--Agent.hubs=a", "--Agent.hubs=b", "--JupyterHub.bind_url=http://:80"
    found = chosen("agent.toml", TOML, *words)
    assert (found.settings.port, found.settings.hubs) == (1234, ("a", "b"))
    assert found.traefik.public_url == "https://:80"


def test_default_files_are_found_here():
    assert configured(read_configuration("", []), LOG).settings.hubs == ("jupyterhub",)
    with open("jupyterhub_config.py", "w") as file:
        file.write(PY)
    assert configured(read_configuration("", []), LOG).settings.hubs == ("research",)
    with open("agent.toml", "w") as file:
        file.write('[Agent]\nhubs = ["mine"]\n')
    assert configured(read_configuration("", []), LOG).settings.hubs == ("mine",)


def test_there_is_one_traefik_beside_each_agent():
    assert chosen("agent.toml", "[KVProxy]\nlocal_replicas = 3\n").traefik.local_replicas == 1


def test_internal_ssl_has_its_files_where_they_were_copied_to():
    client = chosen(
        "agent.toml", '[JupyterHub]\ninternal_ssl = true\ninternal_certs_location = "/etc/internal"\n'
    ).traefik.internal_ssl
    assert (client.cert, client.key, client.ca) == (
        "/etc/internal/proxy-client/proxy-client.crt",
        "/etc/internal/proxy-client/proxy-client.key",
        "/etc/internal/proxy-client-ca_trust.crt",
    )


def test_with_store_traefik_reads_the_store_by_itself():
    found = chosen("agent.toml", '[KVProxy]\ndelivery = "store"\nbackend_class = "etcd"\n')
    assert found.provider.static["etcd"]["rootKey"] == "jupyterhub/traefik"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[Agent]\nprot = 1\n", "c.Agent.prot: Agent has no such option; did you mean port?"),
        ("[KVProxy]\nprefixx = 'a'\n", "c.KVProxy.prefixx: KVProxy has no such option; did you mean prefix?"),
        (
            "[JupyterHub]\nspawner_class = 'simple'\n",
            "c.JupyterHub.spawner_class: JupyterHub has no such option.",
        ),
        ("[Spawner]\ncmd = 'a'\n", "c.Spawner: there is no such class here."),
        ("[Agnet]\nport = 1\n", "c.Agnet: there is no such class here; did you mean Agent?"),
        (
            "[KVProxy]\nagent_token = 'Hush'\n",
            "KVProxy.agent_token is a secret, which does not belong in this file: set it in the environment variable "
            "KVPROXY_AGENT_TOKEN.",
        ),
        (
            "[KVProxy]\nbackend_class = 'etcd'\n[EtcdBackend]\npassword = 'Hush'\n",
            "EtcdBackend.password is a secret, which does not belong in this file: set it in the environment variable "
            "KVPROXY_ETCD_PASSWORD.",
        ),
        (
            "[KVProxy]\nbackend_class = 'redis'\n[RedisBackend]\nurl = 'redis://me:Hush@127.0.0.1:1'\n",
            "RedisBackend.url has a password in its URL, which does not belong in this file.",
        ),
        (
            "[KVProxy]\ndelivery = 'push'\n",
            'KVProxy.delivery is "push": the Hub brings the routes to Traefik by itself. With agents it is "agent".',
        ),
        (
            "[KVProxy]\ndelivery = 'store'\n[Agent]\nhubs = ['a', 'b']\n",
            'With KVProxy.delivery = "store", each Traefik serves one Hub: Agent.hubs may name one only.',
        ),
        ("[Agent]\ntls_key = 'a'\n", "Agent.tls_key is set, and Agent.tls_cert is not; TLS needs both."),
        ("[Agent]\nhubs = ['a', 'b', 'a']\n", "Agent.hubs has 'a' twice."),
        ("[Agent]\nhubs = ['/']\n", "Agent.hubs has an empty prefix."),
        (
            "[Agent]\ntraefik_api_url = 'localhost:8099'\n",
            "Agent.traefik_api_url is 'localhost:8099'; write it like http://127.0.0.1:8099.",
        ),
        ("[Agent]\nport = 'a'\n", "The 'port' trait of an Agent instance expected an int, not the str 'a'."),
        ("[KVProxy]\nbackend_class = 'etdc'\n", "There is no backend 'etdc' for KVProxy.backend_class"),
        ("port = 1\n", "port stands in no table; write it below [Agent] or [KVProxy]."),
        ("[agent]\nport = 1\n", "[agent] is not the name of a class, such as [Agent] or [KVProxy]."),
    ],
    ids=lambda value: value.replace("\n", " ") if "[" in value else "",
)
def test_an_own_file_is_refused_with_a_sentence(tmp_path, text, why):
    told = refusal("agent.toml", text)
    assert told.startswith(f"{tmp_path}/agent.toml: {why}")
    assert "Hush" not in told


def test_a_hubs_file_is_checked_where_it_concerns_the_agent(tmp_path):
    told = refusal("jupyterhub_config.py", PY + "c.Agent.prot = 1\nc.KVProxy.delivry = 'agent'\n")
    assert told == (
        f"{tmp_path}/jupyterhub_config.py: c.KVProxy.delivry: KVProxy has no such option; did you mean delivery? "
        "c.Agent.prot: Agent has no such option; did you mean port?"
    )
    assert chosen("jupyterhub_config.py", PY + "c.KVProxy.agent_token = 'other'").settings.token == "other"


def test_there_must_be_a_token(monkeypatch):
    monkeypatch.delenv("KVPROXY_AGENT_TOKEN")
    assert refusal("agent.toml", "").endswith(
        ": An agent needs a token, the same as the Hub: set the environment variable KVPROXY_AGENT_TOKEN."
    )


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("agent.ini", b"", " is neither TOML (.toml) nor the configuration file of a hub (.py)."),
        (
            "agent.toml",
            b"[Agent\n",
            " is no TOML: Expected ']' at the end of a table declaration (at line 1, column 7).",
        ),
        ("agent.toml", b"\xff\n", " is not UTF-8."),
        (
            "hub.py",
            b"\nimport no_such_package\n",
            ", line 2: No module named 'no_such_package'. Without that package here, give the agent an agent.toml.",
        ),
    ],
    ids=["another kind", "no TOML", "no UTF-8", "import"],
)
def test_a_file_that_cannot_be_used(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(name, [])
    assert str(caught.value) == f"{tmp_path}/{name}{why}"


@pytest.mark.parametrize("name", ["agent.toml", "hub.py"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(name, [])
    assert str(caught.value) == f"There is no file {tmp_path}/{name}."


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "agent.toml").symlink_to("/proc/self/mem")
    with pytest.raises(ConfigurationError, match=r"agent\.toml cannot be read: Input/output error\.$"):
        read_configuration("agent.toml", [])


def test_the_stand_in_has_the_options_of_jupyterhubs_proxy():
    assert set(Proxy.class_own_traits(config=True)) == set(RealProxy.class_own_traits(config=True))


listens_on_sockets = pytest.mark.skipif(jupyterhub.version_info < (6,), reason="JupyterHub 5 listens on no sockets")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ssl_cert": "a", "ssl_key": "a"},
        {"bind_url": "http://10.0.0.1:80/base/"},
        {"bind_url": "http://10.0.0.1:80", "ssl_cert": "a"},
        {"bind_url": "https://:443"},
        pytest.param({"bind_url": "http+unix://%2Fsrv%2Fa.sock"}, marks=listens_on_sockets),
        {"ip": "::1", "port": 81},
        {"port": 443, "ssl_cert": "a"},
    ],
    ids=str,
)
def test_the_public_url_is_jupyterhubs(options):
    config = Config({"JupyterHub": options})
    theirs = RealJupyterHub(config=config)
    theirs.ssl_cert  # noqa: B018  which bind_url depends on
    assert JupyterHub(config=config).public_url.rstrip("/") == theirs.bind_url.rstrip("/")


def test_the_stand_in_has_jupyterhubs_defaults():
    ours, theirs = JupyterHub(), RealJupyterHub()
    for name in set(JupyterHub.class_own_traits(config=True)) - {"bind_url"}:
        assert getattr(ours, name) == getattr(theirs, name), name


def test_a_backend_is_chosen_by_its_class():
    found = chosen(
        "jupyterhub_config.py",
        "from jhub_kvproxy.testing import MemoryBackend\n" + PY.replace('"etcd"', "MemoryBackend"),
    )
    assert isinstance(found.backends["research"], MemoryBackend)
