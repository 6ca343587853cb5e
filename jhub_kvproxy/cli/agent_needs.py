"""What each machine needs whose Traefik has an agent, made from the hub's configuration."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

import tomli_w
from traitlets import HasTraits

from ..agent.agent_file import TOML_FILE
from ..agent.options import Agent, JupyterHub
from ..hub.proxy import KVProxy
from ..options.secret_names import is_secret, variable_of
from ..traefik.settings import TraefikSettings
from ..traefik.upstream import TimeLimits
from .secrets import Secrets
from .text import wrapped

#: The options of KVProxy that concern the Traefik beside an agent, if they are set.
_TRAEFIKS = {field.name for kind in (TraefikSettings, TimeLimits) for field in fields(kind)} - {"local_replicas"}
_TRAEFIKS |= {"trusted_proxies", "error_target"}


def agent_needs(proxy: KVProxy, secrets: Secrets) -> Iterator[str]:
    """The text for an admin. It has no secret."""
    yield from wrapped("Each machine with a Traefik needs an agent, here one that starts Traefik:")
    yield from ["", f"    jhub-kvproxy agent --config {TOML_FILE} --traefik", ""]
    yield from wrapped(f"and this {TOML_FILE}; Agent.ip must be an address that the hub can reach:")
    yield ""
    yield from textwrap.indent(tomli_w.dumps(secrets.hide_leaves(agent_tables(proxy))), "    ").splitlines()
    yield ""
    yield from wrapped("and these variables in its environment, whose values are not shown:")
    yield from ["", *(f"    {name}" for name in _variables(proxy)), ""]
    yield from wrapped(
        "If you run Traefik by yourself, leave --traefik out, and add KVPROXY_TRAEFIK_API_PASSWORD. jhub-kvproxy "
        "traefik-config prints Traefik's static configuration; with --dynamic the dynamic one, and with --env its "
        "environment. With --plugin DIRECTORY it writes the plugin's files."
    )


def agent_tables(proxy: KVProxy) -> dict[str, Any]:
    """An agent's own configuration for the hub of `proxy`, without secrets."""
    config = proxy.config
    named = config.KVProxy.get("backend_class", "toml")
    kind = proxy.backend_class
    tables = {
        "KVProxy": {
            "prefix": proxy.prefix,
            "backend_class": named if isinstance(named, str) else f"{kind.__module__}.{kind.__qualname__}",
            **_set(proxy, _TRAEFIKS & config.KVProxy.keys()),
        },
        kind.__name__: _set(proxy.backend, config[kind.__name__]),
        "JupyterHub": _set(JupyterHub(config=config), config.JupyterHub),
        "Agent": _set(Agent(config=config), config.Agent),
    }
    return {name: table for name, table in tables.items() if table}


def _set(configurable: HasTraits, names: Iterable[str]) -> dict[str, Any]:
    """The values of the options with these `names`, but for secrets, and for what TOML cannot say."""
    there = configurable.trait_names(config=True)
    values = {name: getattr(configurable, name) for name in sorted(names) if name in there and not is_secret(name)}
    return {name: value for name, value in values.items() if value is not None}


def _variables(proxy: KVProxy) -> Iterator[str]:
    yield "KVPROXY_AGENT_TOKEN"
    for name, option in proxy.backend.traits(config=True).items():
        variable = variable_of(option)
        if variable and is_secret(name) and getattr(proxy.backend, name):
            yield variable
