"""How Traefik serves routes, beside whereto: what their routers and services have in common. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..routing.routes import Pattern, Route, target_has_path
from .pages import ERROR_PAGE, HUB_AWAY, error_pages

#: All routes, none, or these.
Selection = bool | frozenset[Pattern]


@dataclass(frozen=True)
class Serving:
    """What the hub's options make of each route. Names of keys are those of Traefik's dynamic configuration."""

    #: The transport that Traefik speaks with https targets, with its provider: ``NAME@file``; empty: Traefik's own.
    transport: str = ""
    #: The URL below which error pages are; empty: there are none.
    error_target: str = ""
    #: Whether the error target is told what the user wanted.
    tells_url: bool = False
    #: Which routes' servers get the host of their target in ``Host``, rather than the one that the user asked.
    change_origin: Selection = False
    #: Which routes' servers get the path without that of the route.
    strip_prefix: Selection = False
    #: Which routes' servers get the path of the target before it, if that has one.
    prepend_path: Selection = True

    @property
    def fixtures(self) -> Mapping[str, str]:
        """Keys that are always in the table, below ``traefik/``."""
        if not self.error_target:
            return {}
        return error_pages(self.error_target, with_url=self.tells_url, transport=self.transport)

    def router(self, route: Route, name: str) -> dict[str, str]:
        """Keys below the routers of `route`; its middleware is called `name`."""
        middlewares = []
        if self.error_target:
            # In the way that JupyterHub marks its own route (jupyterhub.proxy, add_hub_route).
            middlewares.append(HUB_AWAY if route.data.get("hub") is True else ERROR_PAGE)
        if self.middleware(route):
            middlewares.append(name)
        return {"middlewares": ",".join(middlewares)} if middlewares else {}

    def middleware(self, route: Route) -> dict[str, str]:
        """Keys below the middleware of `route`, if it has one."""
        segments = route.pattern.segments
        if not segments or not includes(self.strip_prefix, route):
            return {}
        # Traefik looks at the decoded path here, so this is the prefix in every encoding that the rule matches.
        return {"stripPrefixRegex/regex": "^" + "".join("/" + "".join(map(_regexp, part)) for part in segments)}

    def service(self, route: Route) -> dict[str, str]:
        """Keys below the ``loadBalancer`` of `route`."""
        keys = {}
        if self.transport and route.target.startswith("https:"):
            keys["serversTransport"] = self.transport
        if target_has_path(route.target) and includes(self.prepend_path, route):
            keys["servers/0/preservePath"] = "true"
        if includes(self.change_origin, route):
            keys["passHostHeader"] = "false"
        return keys


def includes(selection: Selection, route: Route) -> bool:
    """Whether `selection` has `route`."""
    return selection if isinstance(selection, bool) else route.pattern in selection


def _regexp(char: str) -> str:
    """`char` as Go's regular expressions have it: no space, comma or brace that a store or Traefik would read."""
    return char if char.isascii() and char.isalnum() else f"\\x{{{ord(char):x}}}"


#: As the routes are, and nothing more.
PLAIN = Serving()
