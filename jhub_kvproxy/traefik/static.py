"""Traefik's static configuration, which it reads once when it starts. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any
from urllib.parse import urlsplit

from ..errors import TraefikError

PUBLIC, API = "public", "api"

_PORTS = {"http": 80, "https": 443}


def public_address(public_url: str) -> tuple[str, int, bool]:
    """Host (empty: all interfaces), port, and whether TLS is spoken, from JupyterHub's ``Proxy.public_url``.

    Raises :class:`TraefikError` for a URL on which Traefik cannot listen.
    """
    url = urlsplit(public_url)
    if url.scheme not in _PORTS:
        raise TraefikError(
            f"Traefik cannot listen on {public_url!r}; set JupyterHub.bind_url to http://ADDRESS:PORT/ "
            "(a unix socket needs another proxy in front)."
        )
    return url.hostname or "", url.port or _PORTS[url.scheme], url.scheme == "https"


def static_config(
    *,
    public_host: str,
    public_port: int,
    tls: bool,
    api_address: str,
    dynamic_dir: str,
    providers: Mapping[str, Any],
    trusted_ips: Sequence[str],
    log_level: str,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """The static configuration of a Traefik; `extra` is merged over it.

    Raises :class:`TraefikError` when a name in `extra` differs by case only from one that it is merged with.
    """
    config = merge(
        {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": log_level, "noColor": True},
            "api": {"dashboard": False},
            "ping": {"manualRouting": True},
            "entryPoints": {
                PUBLIC: {
                    "address": address(public_host, public_port),
                    "asDefault": True,
                    "http": {
                        # Paths reach user servers as they came, as with configurable-http-proxy.
                        "sanitizePath": False,
                        "encodedCharacters": dict.fromkeys(_ENCODED_CHARACTERS, True),
                        # Otherwise Traefik makes "&" of them, and so two parameters of one.
                        "encodeQuerySemicolons": True,
                        # Some servers take "X_Forwarded_For" and "X.Forwarded.For" for "X-Forwarded-For".
                        "aliasHeadersStrategy": "delete",
                        **({"tls": {}} if tls else {}),
                    },
                    "transport": {
                        # Traefik's default of 60 s cuts slow uploads.
                        "respondingTimeouts": {"readTimeout": "0s"},
                        "lifeCycle": {"graceTimeOut": "2s"},
                    },
                    "forwardedHeaders": {"insecure": False, "trustedIPs": list(trusted_ips)},
                },
                API: {"address": api_address},
            },
            "providers": {
                # We pace the changes ourselves.
                "providersThrottleDuration": "0s",
                "file": {"directory": dynamic_dir, "watch": True},
                **providers,
            },
        },
        extra,
    )
    check_one_spelling(config)
    return config


_ENCODED_CHARACTERS = (
    "allowEncodedSlash",
    "allowEncodedBackSlash",
    "allowEncodedNullCharacter",
    "allowEncodedSemicolon",
    "allowEncodedPercent",
    "allowEncodedQuestionMark",
    "allowEncodedHash",
)


def address(host: str, port: int) -> str:
    """`host` (empty: all interfaces) and `port`, as Traefik's configuration has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def duration(seconds: float) -> str:
    """`seconds`, as Traefik's configuration has them."""
    return f"{round(seconds * 1000)}ms"


def addresses(static: Mapping[str, Any]) -> dict[str, str]:
    """The address of each entry point. Raises :class:`TraefikError` when the admin's has none."""
    for name, point in static["entryPoints"].items():
        match point:
            case {"address": str()}:
                pass
            case _:
                raise TraefikError(
                    f"KVProxy.extra_static_config: entryPoints.{name} has no address, such as 127.0.0.1:8443."
                )
    return {name: point["address"] for name, point in static["entryPoints"].items()}


def check_one_spelling(static: Mapping[str, Any], place: str = "") -> None:
    """Raises :class:`TraefikError` when a table, which stands at `place`, has a name twice, in different cases.

    Traefik takes names in any case; it would use one of the two, and ignore the other without a word.
    """
    spelled: dict[str, str] = {}
    for name, value in static.items():
        first = spelled.setdefault(name.lower(), name)
        if first != name:
            raise TraefikError(f"KVProxy.extra_static_config: {place}{name} must be spelled {first}.")
        if isinstance(value, Mapping):
            check_one_spelling(value, f"{place}{name}.")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `over` into a copy of `base`: tables are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = merge(below, value) if both and below is not None else value
    return merged


def merges(*configs: Mapping[str, Any]) -> dict[str, Any]:
    """Merge all of them, each over those before it."""
    return reduce(merge, configs, {})
