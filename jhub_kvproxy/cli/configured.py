"""The proxy as a hub would make it from its configuration. Nothing is started or opened."""

from __future__ import annotations

import logging
from argparse import Namespace
from pathlib import Path

from jupyterhub.app import JupyterHub
from traitlets.config import Config
from traitlets.config.loader import KVArgParseConfigLoader

from ..agent.options import Agent
from ..hub.proxy import KVProxy
from ..options.mistakes import mistakes, silent_log
from ..store.registry import installed_backends
from .proxy_class import proxy_class_for


def configured_proxy(config: Config, log: logging.Logger | None = None) -> KVProxy:
    """As JupyterHub.init_proxy makes it. May raise TraitError, ValueError, and what :func:`proxy_class_for` does."""
    proxy_class = proxy_class_for(config)
    app = JupyterHub(config=config, log=silent_log())
    if app.internal_ssl:
        # The places of JupyterHub's files (JupyterHub.init_internal_ssl), which may not be there yet.
        directory = Path(app.internal_certs_location)
        pair = {name: str(directory / f"proxy-client/proxy-client.{end}") for name, end in _PAIR.items()}
        app.internal_proxy_certs = {"proxy-client": pair}
        app.internal_trust_bundles = {"proxy-client-ca": str(directory / "proxy-client-ca_trust.crt")}
    return proxy_class(
        public_url=app.bind_url,
        config=config,
        app=app,
        log=log or silent_log(),
        host_routing=bool(app.subdomain_host),
        ssl_cert=app.ssl_cert,
        ssl_key=app.ssl_key,
    )


def refuse_misspelt(options: Namespace, proxy: KVProxy) -> None:
    """End with wrong usage if the command line sets an option that does not exist. The file's are for ``check``."""
    words: list[str] = options.configuration
    others = {point.attr for point in installed_backends().values()} - {type(proxy.backend).__name__}
    given = KVArgParseConfigLoader(words).load_config() if words else Config()
    for mistake in mistakes(given, [type(proxy), type(proxy.backend), Agent], others):
        options.parser.error(f"{mistake.rstrip('.')}.")


_PAIR = {"certfile": "crt", "keyfile": "key"}
