"""The plugin in Traefik's dynamic configuration: one router for all of users' requests, and one for the hub. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import TraefikError
from .dynamic import AT_API, HEALTH_ROUTER, NOWHERE
from .plugin_files import PLUGIN
from .static import PUBLIC
from .upstream import LONGEST_DIAL, TimeLimits

#: The one router of users' requests, as Traefik's log and metrics name it.
ROUTES = "kvproxy-routes"
#: Options of Traefik's ``serversTransport``, and the plugin's names for them.
_TRANSPORT = {
    "insecureSkipVerify": "insecure",
    "rootCAs": "rootCAs",
    "maxIdleConnsPerHost": "maxIdleConnsPerHost",
}
_TABLE, _HEALTH = "kvproxy-table", "kvproxy-health"


@dataclass(frozen=True, slots=True)
class PluginOptions:
    """What the hub's options make of the plugin."""

    limits: TimeLimits
    #: The URL below which error pages are; empty: there are none.
    error_target: str = ""
    #: Whether the error target is told the URL that the user asked for.
    tells_url: bool = False
    #: The page for browsers while nothing else can be had; empty: the plugin's own.
    away_page: bytes = b""
    #: Whether it keeps the time of each route's last use.
    activity: bool = False
    #: Whether it tells the access log the route and the target.
    log: bool = False
    #: The file with the certificate, the key and the authorities of JupyterHub.internal_ssl; empty: there is none.
    identity_file: str = ""
    #: Changes with the content of that file.
    identity_hash: str = ""
    #: The admin's own ``serversTransport`` in Traefik's static configuration.
    transport: Mapping[str, Any] = field(default_factory=dict)

    def dynamic(self) -> dict[str, Any]:
        """The part of the dynamic configuration."""
        return {
            "http": {
                "routers": {
                    # The lowest priority that there is: a router of the admin's comes first.
                    ROUTES: _at_public('PathPrefix("/")', 1, NOWHERE, [ROUTES]),
                    _HEALTH: _at_public(
                        HEALTH_ROUTER["rule"], HEALTH_ROUTER["priority"], HEALTH_ROUTER["service"], [_HEALTH]
                    ),
                    _TABLE: {
                        "rule": 'PathPrefix("/kvproxy/")',
                        "service": "noop@internal",
                        **AT_API,
                        "middlewares": [*AT_API["middlewares"], _TABLE],
                    },
                },
                "middlewares": {
                    ROUTES: {"plugin": {PLUGIN: self._config()}},
                    _TABLE: {"plugin": {PLUGIN: {"mode": "table"}}},
                    _HEALTH: {"plugin": {PLUGIN: {"mode": "health"}}},
                },
            }
        }

    def _config(self) -> dict[str, Any]:
        if unknown := self.transport.keys() - _TRANSPORT.keys():
            raise TraefikError(
                f"KVProxy.extra_static_config: serversTransport.{min(unknown)} has no effect with "
                f'KVProxy.delivery = "push", which knows {", ".join(_TRANSPORT)} there. For time limits, use the '
                "options of KVProxy."
            )
        answer = self.limits.proxy_timeout
        return {
            "mode": "route",
            "dialTimeout": _milliseconds(min(answer or LONGEST_DIAL, LONGEST_DIAL)),
            "responseTimeout": _milliseconds(answer),
            "idleTimeout": _milliseconds(self.limits.server_keep_alive_timeout),
            "headerTimeout": _milliseconds(self.limits.head),
            "timeout": _milliseconds(self.limits.timeout),
            "errorTarget": self.error_target,
            "tellsURL": self.tells_url,
            # In Base64, so that Traefik takes nothing in it for a template.
            "awayPage": base64.b64encode(self.away_page).decode(),
            "activity": self.activity,
            "log": self.log,
            "identityFile": self.identity_file,
            "identityHash": self.identity_hash,
            **{_TRANSPORT[option]: value for option, value in self.transport.items()},
        }


def _at_public(rule: str, priority: int, service: str, middlewares: list[str]) -> dict[str, Any]:
    return {
        "rule": rule,
        "priority": priority,
        "service": service,
        "entryPoints": [PUBLIC],
        "middlewares": middlewares,
    }


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
