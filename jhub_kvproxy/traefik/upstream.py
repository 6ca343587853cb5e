"""How Traefik speaks with the servers behind it: time limits, and the TLS inside the hub. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .static import PUBLIC, duration

#: The transport for TLS inside the hub: its name in the dynamic configuration, and that by which routes refer to it.
_TRANSPORT = "kvproxy"
TRANSPORT = f"{_TRANSPORT}@file"

#: Traefik's own, but for transports in the dynamic configuration, which would keep 2 idle connections to the hub too.
_MAX_IDLE_PER_HOST = 200
LONGEST_DIAL = 30.0


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """In seconds; 0: none. What they mean is told by :class:`~jhub_kvproxy.options.upstream.UpstreamOptions`."""

    timeout: float
    header_timeout: float
    proxy_timeout: float
    server_keep_alive_timeout: float

    @property
    def head(self) -> float:
        """What bounds the head of a request: `header_timeout`, or `timeout` if that is shorter."""
        return min(filter(None, (self.header_timeout, self.timeout)), default=0.0)


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """By what Traefik shows servers who it is, and checks who they are (JupyterHub.internal_ssl): paths, or PEM."""

    cert: str
    key: str
    #: The authorities of the servers' certificates.
    ca: str

    @property
    def identity(self) -> str:
        """All of them in one text, as the plugin reads it, if they are PEM."""
        return self.cert + self.key + self.ca


def upstream_static(limits: TimeLimits, *, has_plugin: bool = False) -> dict[str, Any]:
    """The part of the static configuration that sets `limits`, for a Traefik with our plugin or one without it.

    Traefik has one limit for a request, from the first moment of its connection to its last byte. Our plugin lets what
    comes behind the head take longer.
    """
    responding = {"readTimeout": duration(limits.head if has_plugin else limits.timeout)}
    return {
        "entryPoints": {PUBLIC: {"transport": {"respondingTimeouts": responding}}},
        "serversTransport": _transport(limits),
    }


def upstream_dynamic(limits: TimeLimits, files: ClientFiles | None) -> dict[str, Any]:
    """The part of the dynamic configuration that has the transport with `files`; nothing without them.

    Traefik compares the name or address in a route's target with the names in the server's certificate.
    """
    if not files:
        return {}
    certificates = [{"certFile": files.cert, "keyFile": files.key}]
    transport = {"rootCAs": [files.ca], "certificates": certificates, **_transport(limits)}
    return {"http": {"serversTransports": {_TRANSPORT: transport}}}


def _transport(limits: TimeLimits) -> dict[str, Any]:
    answer = limits.proxy_timeout
    return {
        "maxIdleConnsPerHost": _MAX_IDLE_PER_HOST,
        "forwardingTimeouts": {
            "dialTimeout": duration(min(answer or LONGEST_DIAL, LONGEST_DIAL)),
            "responseHeaderTimeout": duration(answer),
            "idleConnTimeout": duration(limits.server_keep_alive_timeout),
        },
    }
