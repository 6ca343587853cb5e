"""Figures that follow from what was measured, for tables, bounds and plots."""

from __future__ import annotations

from .results import Results

POSITIONS = ("first", "middle", "last", "hub")


def worst_throughput(results: Results, variant: str, routes: int) -> float | None:
    """Requests a second to the slowest of the positions."""
    found = [results.median("requests", variant, routes, f"{position}.throughput") for position in POSITIONS]
    measured = [value for value in found if value is not None]
    return min(measured) if measured else None


def variants(results: Results, scenario: str) -> list[str]:
    """The names of the variants that were measured in `scenario`: ours, the others, a bare Traefik."""
    kinds = ("own", "peer", "chp", "bare")
    found = {series.variant: series for series in results.series if series.scenario == scenario}
    return sorted(found, key=lambda name: (kinds.index(found[name].kind), found[name].option, found[name].backend))


def own(results: Results) -> list[str]:
    """The names of ours with default options."""
    return sorted({series.variant for series in results.series if series.kind == "own" and not series.option})


def sizes(results: Results, scenario: str) -> list[int]:
    return sorted({series.routes for series in results.series if series.scenario == scenario})
