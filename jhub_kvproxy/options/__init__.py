"""The options of :class:`~jhub_kvproxy.hub.proxy.KVProxy`, one class for each subject, and the settings they make."""

from __future__ import annotations

from typing import Any

from ..store.contract import Backend
from .activity import ActivityOptions
from .agents import AgentOptions
from .forwarded import ForwardedOptions
from .front import FrontOptions
from .metrics import MetricsOptions
from .rest_api import RESTAPIOptions
from .routes import RouteOptions
from .routing import RoutingOptions
from .store import StoreOptions
from .tls import TLSOptions
from .traefik import TraefikOptions
from .upstream import UpstreamOptions


class Options(
    StoreOptions,
    TraefikOptions,
    RoutingOptions,
    AgentOptions,
    TLSOptions,
    FrontOptions,
    ForwardedOptions,
    RouteOptions,
    UpstreamOptions,
    MetricsOptions,
    ActivityOptions,
    RESTAPIOptions,
):
    """All options. Whoever inherits from it also has what a proxy of JupyterHub has, as far as it is named here."""

    #: The JupyterHub; None: it runs elsewhere, or not at all.
    app: Any
    public_url: str
    ssl_cert: str
    ssl_key: str
    host_routing: bool
    backend: Backend
