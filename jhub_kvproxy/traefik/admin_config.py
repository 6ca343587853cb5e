"""Checks of what an admin adds to Traefik's configuration. Pure functions."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any

import tomli_w

from ..did_you_mean import did_you_mean
from ..errors import TraefikError
from .static import PUBLIC

#: The sections of Traefik's static configuration (Traefik 3.7, pkg/config/static), and of its dynamic one
#: (pkg/config/dynamic). Traefik ignores others without a word; below them, it refuses names that it does not know.
STATIC = (
    *("accessLog", "api", "certificatesResolvers", "core", "entryPoints", "experimental", "global", "hostResolver"),
    *("log", "metrics", "ocsp", "ping", "providers", "serversTransport", "spiffe", "tcpServersTransport", "tracing"),
)
DYNAMIC = ("http", "tcp", "tls", "udp")
_STATIC_OPTION, _DYNAMIC_OPTION = "KVProxy.extra_static_config", "KVProxy.extra_dynamic_config"

#: What we look into, and so must be a table, if it is there.
_TABLES = (("entryPoints",), ("entryPoints", PUBLIC), ("entryPoints", PUBLIC, "http"), ("serversTransport",))
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def check_toml(option: str, config: Mapping[Any, Any]) -> None:
    """Raises :class:`TraefikError`, which names `option` and the key, when TOML cannot hold what is in `config`."""
    try:
        _check_table(option, "", config)
    except RecursionError as error:
        raise TraefikError(f"{option} is nested too deeply, or has itself in it.") from error


def check_sections(static: Mapping[str, Any], dynamic: Mapping[str, Any]) -> None:
    """Raises :class:`TraefikError` for a section of either configuration that Traefik does not have there.

    Traefik takes a section in any case. Here it must be spelled as what it is merged with.
    """
    _check_sections(_STATIC_OPTION, static, STATIC, _DYNAMIC_OPTION, DYNAMIC)
    _check_sections(_DYNAMIC_OPTION, dynamic, DYNAMIC, _STATIC_OPTION, STATIC)


def _check_sections(
    option: str, config: Mapping[str, Any], known: Collection[str], other_option: str, others: Collection[str]
) -> None:
    for section in config:
        if section.lower() in map(str.lower, others):
            raise TraefikError(f"{option}: {section} belongs in {other_option}.")
        if section not in known:
            raise TraefikError(f"{option}: Traefik has no section {section}{did_you_mean(section, known)}")


def check_tables(option: str, static: Mapping[str, Any]) -> None:
    """Raises :class:`TraefikError` when a part of the static configuration is no table, and would have to be one."""
    for place in _TABLES:
        value: Any = static
        for key in place:
            value = value.get(key, {})
        if not isinstance(value, Mapping):
            raise TraefikError(f"{option}: {'.'.join(place)} must be a table.")


def _check_table(option: str, place: str, table: Mapping[Any, Any]) -> None:
    where = f"{option}: {place}" if place else option
    for key, value in table.items():
        if not isinstance(key, str):
            raise TraefikError(f"{where} has the key {key!r}, which is no text.")
        if not _is_unicode(key):
            raise TraefikError(f"{where} has a key with characters that are no Unicode.")
        name = key if _BARE_KEY.fullmatch(key) else f'"{key}"'
        _check(option, f"{place}.{name}" if place else name, value)


def _check(option: str, place: str, value: Any) -> None:
    if isinstance(value, Mapping):
        _check_table(option, place, value)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            _check(option, f"{place}[{number}]", each)
    elif isinstance(value, str):
        if not _is_unicode(value):
            raise TraefikError(f"{option}: {place} has characters that are no Unicode.")
    else:
        try:
            tomli_w.dumps({"value": value})
        except (TypeError, ValueError) as error:
            raise TraefikError(f"{option}: {place} is {_described(value)}.") from error


def _described(value: object) -> str:
    if value is None:
        return "None, which TOML cannot hold; leave it out"
    advice = "; write str(...) around it" if isinstance(value, os.PathLike) else ""
    return f"of the type {type(value).__name__}, which TOML cannot hold{advice}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
