"""How a Traefik ends: users' requests have time, and a load balancer too. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .static import API, PUBLIC

# A load balancer has this long to notice that the replica is about to end (/_chp_healthz answers 503), and then what
# is under way has this long to end. Who is sent here meanwhile needs the newest routes, so the API stays too.
_LIFE_CYCLE = {"requestAcceptGraceTimeout": "10s", "graceTimeOut": "30s"}
#: The part of the static configuration of a replica that may end at any time.
DRAINING: Mapping[str, Any] = {
    "entryPoints": {name: {"transport": {"lifeCycle": _LIFE_CYCLE}} for name in (PUBLIC, API)}
}
#: Traefik's own (pkg/config/static/entrypoints.go).
_DEFAULTS = {"requestacceptgracetimeout": "0s", "gracetimeout": "10s"}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def draining_seconds(static: Mapping[str, Any]) -> float:
    """How long a Traefik with this static configuration takes to end, at most."""
    transports = [_below(point, "transport") for point in static["entryPoints"].values()]
    cycles = [_DEFAULTS | _below(transport, "lifecycle") for transport in transports]
    return max(sum(_seconds(cycle[name]) for name in _DEFAULTS) for cycle in cycles)


def _below(table: Any, name: str) -> dict[str, Any]:
    """The table `name` in `table`, with its keys in lower case: Traefik takes them in any. Empty if it is no table."""
    found = next((value for key, value in table.items() if key.lower() == name), None)
    return {key.lower(): value for key, value in found.items()} if isinstance(found, Mapping) else {}


def _seconds(value: Any) -> float:
    """The duration `value`, as Traefik reads it (Go's time.ParseDuration; a number has seconds); 0: it is none."""
    text = str(value)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
