"""How Traefik's routers serve routes, beside where they lead: what they and their services have in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..routing.policy import Policy, includes
from ..routing.routes import Route, target_has_path
from .pages import ERROR_PAGE, HUB_AWAY, error_pages


@dataclass(frozen=True, slots=True)
class Serving:
    """What `policy` makes of each route. Names of keys are those of Traefik's dynamic configuration."""

    policy: Policy = Policy()  # noqa: RUF009  it is frozen
    #: The transport that Traefik speaks with https targets, with its provider: ``NAME@file``; empty: Traefik's own.
    transport: str = ""

    @property
    def fixtures(self) -> Mapping[str, str]:
        """Keys that are always in the table, below ``traefik/``."""
        if not self.policy.error_target:
            return {}
        return error_pages(self.policy.error_target, with_url=self.policy.tells_url, transport=self.transport)

    def router(self, route: Route, name: str) -> dict[str, str]:
        """Keys below the routers of `route`; its middleware is called `name`."""
        middlewares = []
        if self.policy.error_target:
            # In the way that JupyterHub marks its own route (jupyterhub.proxy, add_hub_route).
            middlewares.append(HUB_AWAY if route.data.get("hub") is True else ERROR_PAGE)
        if self.middleware(route):
            middlewares.append(name)
        return {"middlewares": ",".join(middlewares)} if middlewares else {}

    def middleware(self, route: Route) -> dict[str, str]:
        """Keys below the middleware of `route`, if it has one."""
        segments = route.pattern.segments
        if not segments or not includes(self.policy.strip_prefix, route):
            return {}
        # Traefik looks at the decoded path here, so this is the prefix in every encoding that the rule matches.
        return {"stripPrefixRegex/regex": "^" + "".join("/" + "".join(map(_regexp, part)) for part in segments)}

    def service(self, route: Route) -> dict[str, str]:
        """Keys below the ``loadBalancer`` of `route`."""
        keys = {}
        if self.transport and route.target.startswith("https:"):
            keys["serversTransport"] = self.transport
        if target_has_path(route.target) and includes(self.policy.prepend_path, route):
            keys["servers/0/preservePath"] = "true"
        if includes(self.policy.change_origin, route):
            keys["passHostHeader"] = "false"
        return keys


def _regexp(char: str) -> str:
    """`char` as Go's regular expressions have it: no space, comma or brace that a store or Traefik would read."""
    return char if char.isascii() and char.isalnum() else f"\\x{{{ord(char):x}}}"
