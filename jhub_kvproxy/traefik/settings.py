"""What an admin has chosen about Traefik. Whoever starts one, or prints a configuration for one, needs just this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..routing.policy import Policy
from .upstream import ClientFiles, TimeLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class TraefikSettings:
    """Named as the options of KVProxy, which have their own documentation, but for what comes from JupyterHub."""

    #: ``JupyterHub.bind_url``.
    public_url: str
    policy: Policy = Policy()  # noqa: RUF009  it is frozen
    limits: TimeLimits
    #: The proxies in front of Traefik that are believed.
    trusted_proxies: tuple[str, ...] = ()
    #: Whether the plugin keeps the times of use.
    activity: bool = False
    #: The file with the page for browsers while nothing else can be had; empty: ours.
    away_page: str = ""

    traefik_cmd: tuple[str, ...] = ("traefik",)
    runtime_dir: str = "kvproxy-run"
    local_replicas: int = 1
    traefik_log_level: str = "ERROR"
    traefik_metrics: str = ""
    traefik_metrics_labels: tuple[str, ...] = ("entrypoints",)
    extra_static_config: Mapping[str, Any] = field(default_factory=dict)
    extra_dynamic_config: Mapping[str, Any] = field(default_factory=dict)

    #: ``JupyterHub.ssl_cert`` and ``ssl_key``.
    ssl_cert: str = ""
    ssl_key: str = ""
    #: The files of ``JupyterHub.internal_ssl``; None: it is off.
    internal_ssl: ClientFiles | None = None
    client_ca: str = ""
    client_auth: str = "require"
    tls_min_version: str = "1.2"
    tls_ciphers: tuple[str, ...] = ()
    acme_domains: tuple[str, ...] = ()
    acme_email: str = ""
    acme_storage: str = "kvproxy-acme.json"
    acme_resolver: Mapping[str, Any] = field(default_factory=dict)

    redirect_http: int = 0
    redirect_http_to: int = 0
    response_headers: Mapping[str, str] = field(default_factory=dict)
    request_headers: Mapping[str, str] = field(default_factory=dict)
    keep_alive_timeout: float = 180.0
    access_log: str = ""
    access_log_format: str = "common"


@dataclass(frozen=True, slots=True)
class StoreProvider:
    """How a Traefik reads the routes from the store by itself. A Traefik with our plugin has none."""

    #: What is below ``providers`` in its static configuration, and what is merged over it and must stand in no file.
    static: Mapping[str, Any]
    secrets: Mapping[str, Any]
    #: The part of its dynamic configuration.
    dynamic: Mapping[str, Any]
