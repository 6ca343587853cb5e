"""How Traefik serves routes, beside whereto: what their routers and services have in common. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .routes import Route


@dataclass(frozen=True)
class Serving:
    """What the hub's options make of each route. Names of keys are those of Traefik's dynamic configuration."""

    #: The transport that Traefik speaks with https targets, with its provider: ``NAME@file``; empty: Traefik's own.
    transport: str = ""
    #: Keys that are always in the table, below ``traefik/``.
    fixtures: Mapping[str, str] = field(default_factory=dict)

    def router(self, route: Route) -> dict[str, str]:
        """Keys below the routers of `route`."""
        return {}

    def service(self, route: Route) -> dict[str, str]:
        """Keys below the ``loadBalancer`` of `route`."""
        return {"serversTransport": self.transport} if self.transport and route.target.startswith("https:") else {}


#: As the routes are, and nothing more.
PLAIN = Serving()
