"""Figures that follow from what was measured, for tables, bounds and plots."""

from __future__ import annotations

from collections.abc import Collection

from .results import Results, Series

POSITIONS = ("first", "middle", "last", "hub")


def worst_throughput(results: Results, variant: str, routes: int) -> float | None:
    """Requests a second to the slowest of the positions."""
    found = [results.median("requests", variant, routes, f"{position}.throughput") for position in POSITIONS]
    measured = [value for value in found if value is not None]
    return min(measured) if measured else None


def variants(results: Results, scenario: str) -> list[str]:
    """The names of the variants that were measured in `scenario`: ours, the others, the floors."""
    kinds = ("own", "peer", "chp", "nginx", "floor")
    found = {series.variant: series for series in results.series if series.scenario == scenario}
    return sorted(found, key=lambda name: (kinds.index(found[name].kind), found[name].option, found[name].backend))


def own(results: Results, options: Collection[str] = ()) -> list[str]:
    """The names of ours, as they are by default, and those with one of the `options`."""
    found = {s.variant for s in results.series if s.kind == "own" and (not s.option or s.option in options)}
    return sorted(found)


def sizes(results: Results, scenario: str) -> list[int]:
    return sorted({series.routes for series in results.series if series.scenario == scenario})


def beside(results: Results, scenario: str, measure: str, kind: str, backend: str) -> list[Series]:
    """The series of a `kind` to compare `backend` with: those of the same store if there are any."""
    found = [series for series in results.of(scenario, measure) if series.kind == kind]
    return [series for series in found if series.backend == backend] or found
