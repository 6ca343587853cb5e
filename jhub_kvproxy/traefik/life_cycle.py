"""How a Traefik ends: users' requests have time, and a load balancer too. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .static import PUBLIC

#: A load balancer has this long to notice that the replica is about to end (/_chp_healthz answers 503), and then what
#: is under way has this long to end.
DRAINING: Mapping[str, Any] = {
    "entryPoints": {PUBLIC: {"transport": {"lifeCycle": {"requestAcceptGraceTimeout": "10s", "graceTimeOut": "30s"}}}}
}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def draining_seconds(static: Mapping[str, Any]) -> float:
    """How long a Traefik with this static configuration takes to end, at most."""
    # Traefik's names have any case, and ours have one; whoever spells them in two ways is told elsewhere.
    lowered = _lowered(static["entryPoints"][PUBLIC].get("transport", {}))
    life_cycle = lowered.get("lifecycle", {})
    return sum(_seconds(life_cycle.get(name)) for name in ("requestacceptgracetimeout", "gracetimeout"))


def _lowered(tree: Any) -> Any:
    return {str(name).lower(): _lowered(value) for name, value in tree.items()} if isinstance(tree, Mapping) else tree


def _seconds(value: Any) -> float:
    """The duration `value`, as Traefik reads it (Go's time.ParseDuration; a number has seconds); 0: it is none."""
    text = str(value)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
