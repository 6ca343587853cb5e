"""The options of :class:`~jhub_kvproxy.hub.proxy.KVProxy`, one class for each subject; KVProxy inherits from all."""

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
    """All options."""
