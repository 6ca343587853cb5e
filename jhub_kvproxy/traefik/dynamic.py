"""Traefik's dynamic configuration: what stands beside the routing table, and the table's own form. Pure functions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from ..routing.records import REVISION_HEADER, REVISION_NAME
from .static import API, PUBLIC, merge

API_USERS_ENV = "KVPROXY_API_USERS"
#: Paths with ``..`` in them, which would be one user's for Traefik and another's for whoever resolves them. Browsers do
#: that before they ask (whatwg URL standard), also at backslashes. Traefik has decoded ``%2e`` by then.
_DOTS = r'PathRegexp("/\\.\\.(?:[/\\\\]|$)") || PathRegexp("\\\\\\.\\.(?:[/\\\\]|$)")'
#: A service that is never asked, for routers whose middlewares answer. One of Traefik's own would keep requests out of
#: the access log and the metrics.
NOWHERE = "kvproxy-nowhere"
_NOBODY, _API_AUTH = "kvproxy-nobody", "kvproxy-api-auth"
#: Of a router on the entry point of the API.
AT_API: dict[str, Any] = {"entryPoints": [API], "middlewares": [_API_AUTH]}
#: Traefik answers /ping before it has the table. The path is configurable-http-proxy's, the priority above all others.
HEALTH_ROUTER: dict[str, Any] = {"rule": 'Path("/_chp_healthz")', "service": "ping@internal", "priority": 10**9}


def base_config(*, cert_file: str, key_file: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """What a Traefik needs beside the way that it gets the routes; `extra` is merged over it.

    The API's users come from Traefik's environment, by the Go template that its file provider runs.
    """
    routers: dict[str, Any] = {
        "kvproxy-api": {"rule": 'PathPrefix("/api")', "service": "api@internal", **AT_API},
        "kvproxy-dots": {
            "rule": _DOTS,
            "service": NOWHERE,
            "priority": HEALTH_ROUTER["priority"] + 1,
            "entryPoints": [PUBLIC],
            "middlewares": [_NOBODY],
        },
    }
    middlewares: dict[str, Any] = {
        _API_AUTH: {"basicAuth": {"users": [f"{{{{ env `{API_USERS_ENV}` }}}}"]}},
        # Traefik has no plain "refuse": this address is nobody's (RFC 5737).
        _NOBODY: {"ipAllowList": {"sourceRange": ["192.0.2.0/32"], "rejectStatusCode": 400}},
    }
    return merge(
        {
            "http": {
                "routers": routers,
                "middlewares": middlewares,
                "services": {NOWHERE: {"loadBalancer": {"passHostHeader": True}}},
            },
            # Without a default certificate, Traefik makes a new RSA key at every change of its configuration.
            "tls": {"stores": {"default": {"defaultCertificate": {"certFile": cert_file, "keyFile": key_file}}}},
        },
        extra,
    )


def store_dynamic(provider: str) -> dict[str, Any]:
    """The part for a Traefik that gets the routes from a store, by `provider`: when it is healthy."""
    return {
        "http": {
            "routers": {
                "kvproxy-health": {
                    **HEALTH_ROUTER,
                    "entryPoints": [PUBLIC],
                    # It needs a part of the table, and is not there without it; but strangers are told no revision.
                    "middlewares": ["kvproxy-health", f"{REVISION_NAME}@{provider}"],
                }
            },
            "middlewares": {"kvproxy-health": {"headers": {"customResponseHeaders": {REVISION_HEADER: ""}}}},
        }
    }


def base_env(user: str, password: str) -> dict[str, str]:
    """The environment that :func:`base_config` needs. A slow hash would tax Traefik; a random password needs none."""
    digest = base64.b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()
    return {API_USERS_ENV: f"{user}:{{SHA}}{digest}"}


def unflatten(keys: Mapping[str, str]) -> dict[str, Any]:
    """The nested form of keys in the layout of Traefik's KV providers: ``a/b/0/c`` is ``{"a": {"b": [{"c": ...}]}}``.

    For drivers whose store Traefik reads as one document. Values stay text: Traefik parses them.
    """
    tree: dict[str, Any] = {}
    for key, value in keys.items():
        node = tree
        *parents, leaf = key.split("/")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    nested = _lists(tree)
    assert isinstance(nested, dict)
    return nested


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(part.isdecimal() for part in node):
        return [_lists(node[part]) for part in sorted(node, key=int)]
    return {part: _lists(below) for part, below in node.items()}
