"""Traefik's own metrics for Prometheus (Traefik docs, "Metrics"). Pure functions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .static import address

METRICS = "metrics"
#: What Traefik can have series for, and its option for that.
LABELS = {"entrypoints": "addEntryPointsLabels", "routers": "addRoutersLabels", "services": "addServicesLabels"}

_LOOPBACK = "127.0.0.1"


def address_of(text: str) -> tuple[str, int]:
    """Host (empty: all interfaces) and port: ``8082`` is on 127.0.0.1. Raises ValueError for what is neither."""
    host, colon, number = text.rpartition(":")
    if not (number.isascii() and number.isdecimal() and 0 < int(number) < 1 << 16):
        raise ValueError(text)
    bare = host.removeprefix("[").removesuffix("]")
    if (":" in bare) != (host != bare) or any(c in bare for c in "[]/@ "):
        raise ValueError(text)
    return bare if colon else _LOOPBACK, int(number)


def metrics_config(where: str, labels: Collection[str], step: int = 0) -> dict[str, Any]:
    """The part of the static configuration; with an empty `where`, none. `step` is added to the port."""
    if not where:
        return {}
    host, port = address_of(where)
    chosen = {option: label in labels for label, option in LABELS.items()}
    return {
        "entryPoints": {METRICS: {"address": address(host, port + step)}},
        "metrics": {"prometheus": {"entryPoint": METRICS, **chosen}},
    }
