"""Makes the hub part that a specification names."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from .parts import HubPart, OwnPart, PeerPart


def make_part(
    *,
    kind: str,
    proxy_class: str,
    config: dict[str, Any],
    config_file: str = "",
    public_url: str,
    hub_url: str,
) -> HubPart:
    """The hub part of this `kind` ("own", "peer" or "chp"), not started.

    `proxy_class` is ``module:Class``, and `config` its configuration and the backend's, by class name;
    that of `config_file` comes before it.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    merged = _load(config_file) if config_file else Config()
    merged.merge(Config(config))
    module, _, name = proxy_class.partition(":")
    proxy = getattr(import_module(module), name)(
        public_url=public_url,
        config=merged,
        app=_app(hub_url),
        hub=_app(hub_url).hub,
        log=logging.getLogger("hub"),
    )
    return {"own": OwnPart, "peer": PeerPart, "chp": HubPart}[kind](proxy)


def _load(path: str) -> Config:
    file = Path(path).absolute()
    config: Config = PyFileConfigLoader(file.name, path=str(file.parent)).load_config()
    return config


def _app(hub_url: str) -> SimpleNamespace:
    """What a proxy looks at of the JupyterHub that it belongs to."""
    hub = SimpleNamespace(
        url=hub_url + "/hub/", host=hub_url, base_url="/hub/", routespec="/", api_url=hub_url + "/api"
    )
    return SimpleNamespace(hub=hub, internal_ssl=False, subdomain_host="", base_url="/", trusted_downstream_ips=[])
