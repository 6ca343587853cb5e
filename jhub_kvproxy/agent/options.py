"""The options of the agent, and stand-ins for the classes of JupyterHub whose options it reads too."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from traitlets import Bool, Dict, Integer, List, TraitError, Unicode, validate
from traitlets.config import LoggingConfigurable

from ..options import Options
from ..traefik.static import address


class Agent(LoggingConfigurable):
    """What an agent serves, and where it listens."""

    hubs = List(
        Unicode(),
        config=True,
        help="""
        Prefixes of the Hubs whose routes Traefik serves: the `KVProxy.prefix` of each. Default: `KVProxy.prefix`.

        Each Hub owns the paths below its `JupyterHub.base_url`, or its `JupyterHub.subdomain_host`. If two own the same
        place, the first in this list has it.
        """,
    )
    ip = Unicode(
        "127.0.0.1", config=True, help="Address that the agent listens on, for the Hub, for probes and for Prometheus."
    )
    port = Integer(8098, min=1, max=65535, config=True, help="Port that the agent listens on.")
    tls_cert = Unicode(
        config=True,
        help="""
        File with the agent's certificate (PEM). Empty (default): the agent speaks plain HTTP.

        A new certificate is used within seconds.
        """,
    )
    tls_key = Unicode(config=True, help="File with the key of `tls_cert` (PEM).")
    traefik_api_url = Unicode(
        "http://127.0.0.1:8099",
        config=True,
        help="""
        URL of the API of the Traefik beside the agent. With `--traefik`, the agent starts Traefik and chooses the port.

        User name and password: `KVProxy.traefik_api_username` and `traefik_api_password`.
        """,
    )
    cache = Unicode(
        config=True,
        help="""
        File in which the agent keeps the last good table, for a start while the store is away. Empty (default): none.

        Only the agent's user can read it.
        """,
    )

    @validate("hubs")
    def _validate_hubs(self, proposal: Any) -> list[str]:
        hubs: list[str] = proposal.value
        if not all(hub.strip("/") for hub in hubs):
            raise TraitError("Agent.hubs has an empty prefix.")
        if twice := [hub for hub in hubs if hubs.count(hub) > 1]:
            raise TraitError(f"Agent.hubs has {twice[0]!r} twice.")
        return hubs

    @validate("traefik_api_url")
    def _validate_traefik_api_url(self, proposal: Any) -> str:
        url = str(proposal.value)
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise TraitError(f"Agent.traefik_api_url is {url!r}; write it like http://127.0.0.1:8099.")
        return url


class JupyterHub(LoggingConfigurable):
    """The options of JupyterHub that concern Traefik; JupyterHub has their documentation."""

    bind_url = Unicode(config=True)
    ip = Unicode(config=True)
    port = Integer(8000, config=True)
    ssl_cert = Unicode(config=True)
    ssl_key = Unicode(config=True)
    trusted_downstream_ips = List(Unicode(), config=True)
    internal_ssl = Bool(config=True)
    internal_certs_location = Unicode("internal-ssl", config=True)

    @property
    def public_url(self) -> str:
        """As JupyterHub makes it of these options (jupyterhub.app, bind_url)."""
        if not self.bind_url:
            return urlunsplit(("https" if self.ssl_cert else "http", address(self.ip, self.port), "/", "", ""))
        scheme, separator, rest = self.bind_url.partition("://")
        if scheme in ("http", "https"):
            scheme = "https" if self.ssl_cert else "http"
        return scheme + separator + rest


class Proxy(LoggingConfigurable):
    """The options of JupyterHub's class of this name, which concern the hub alone."""

    should_start = Bool(True, config=True)
    extra_routes = Dict(config=True)


class KVProxy(Options, Proxy):
    """KVProxy's options, where no JupyterHub runs."""

    app = None
    hub = None
    host_routing = False

    def __init__(self, hub: JupyterHub, **settings: Any) -> None:
        self.public_url, self.ssl_cert, self.ssl_key = hub.public_url, hub.ssl_cert, hub.ssl_key
        super().__init__(**settings)
        # A default is not validated, so the name may still be one.
        self.backend_class = self.backend_class
