"""The traits of :class:`~jhub_kvproxy.hub.proxy.KVProxy`, by what they are about: classes that it inherits from."""

from .activity import ActivityOptions
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
    TLSOptions,
    FrontOptions,
    ForwardedOptions,
    RouteOptions,
    UpstreamOptions,
    MetricsOptions,
    ActivityOptions,
    RESTAPIOptions,
):
    """All of them."""
