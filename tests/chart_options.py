"""The options of agent.toml that the chart's value `config` takes, as a part of its schema."""

from __future__ import annotations

from typing import Any

from traitlets.config import Configurable

from jhub_kvproxy.agent.options import Agent, JupyterHub
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.options.secret_names import is_secret
from jhub_kvproxy.store.registry import find_backend
from tests.charts import CHART

BACKENDS = ("kubernetes", "etcd", "redis", "consul", "postgres")

#: What agent.toml must not have here, besides secrets, and why.
LEFT_OUT = {
    "other values of the chart set it": {
        "Agent": {"hubs", "ip"},
        "JupyterHub": {"bind_url", "ip", "port", "ssl_cert", "ssl_key"},
        "KVProxy": {"backend_class", "delivery", "prefix", "redirect_http"},
        "KubernetesBackend": {"api_url", "context", "kubeconfig", "namespace"},
    },
    "the agent starts Traefik": {
        "Agent": {"traefik_api_url"},
        "KVProxy": {"local_replicas", "runtime_dir", "traefik_api_urls", "traefik_api_username", "traefik_cmd"},
    },
    "replicas cannot get certificates": {
        "KVProxy": {"acme_domains", "acme_email", "acme_resolver", "acme_storage"},
    },
    "it is the hub's": {
        "KVProxy": {
            "agent_ca_file",
            "agent_urls",
            "change_origin",
            "lease_seconds",
            "prepend_path",
            "ready_timeout",
            "rebuild_share",
            "rest_api_ip",
            "rest_api_port",
            "rest_api_writes",
            "store_timeout",
            "strip_prefix",
            "when_lease_held",
        },
    },
}


def classes() -> list[type[Configurable]]:
    return [Agent, JupyterHub, KVProxy, *map(find_backend, BACKENDS)]


def options(cls: type[Configurable]) -> set[str]:
    own = cls.class_own_traits if cls in (Agent, JupyterHub, KVProxy) else cls.class_traits
    left_out = set().union(*(places.get(cls.__name__, set()) for places in LEFT_OUT.values()))
    return {name for name in own(config=True, renamed_to=None) if not is_secret(name)} - left_out


def schema() -> dict[str, Any]:
    """Of the value `config`."""
    properties = {
        cls.__name__: {
            "type": "object",
            "description": f"Options of {cls.__name__}.",
            "additionalProperties": False,
            "properties": {name: {"description": _about(cls, name)} for name in sorted(options(cls))},
        }
        for cls in sorted(classes(), key=lambda cls: cls.__name__)
    }
    return {
        "type": "object",
        "description": "agent.toml: options of the agents and their Traefiks, with their own names.",
        "additionalProperties": False,
        "properties": properties,
    }


def _about(cls: type[Configurable], name: str) -> str:
    """The first sentence of an option's help."""
    text = " ".join(cls.class_traits()[name].help.split())
    return text.partition(". ")[0].rstrip(".").replace("`", "") + "." if text else f"As {cls.__name__}.{name}."


SCHEMA_FILE = CHART / "values.schema.json"
