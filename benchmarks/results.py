"""What was measured: series of values, with the load of the machine beside each; as JSON."""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .variants import Variant

# Units by the last part of a measure's name; all others are seconds.
_UNITS = {"throughput": "1/s", "rate": "1/s", "cores": "cores", "memory": "bytes"}


_COLUMNS = ("scenario", "variant", "routes", "measure", "unit", "values", "loads")


def unit_of(measure: str) -> str:
    return _UNITS.get(measure.rpartition(".")[2], "s")


@dataclass(slots=True)
class Series:
    """One measure of one variant with a number of routes: a value and the machine's load for each repeat."""

    scenario: str
    variant: str
    kind: str
    backend: str
    #: For ours: the options that differ from the default.
    option: str
    routes: int
    #: Dotted: "add.served", "last.throughput".
    measure: str
    unit: str
    values: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(slots=True)
class Results:
    """All series of a run, where it ran, and what was left out and why."""

    environment: dict[str, Any]
    series: list[Series] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(self, scenario: str, variant: Variant, routes: int, measure: str, *values: float) -> None:
        """Record `values`, which were measured just now."""
        found = self.find(scenario, variant.name, routes, measure)
        if found is None:
            found = Series(
                scenario,
                variant.name,
                variant.kind,
                variant.backend,
                variant.option,
                routes,
                measure,
                unit_of(measure),
            )
            self.series.append(found)
        found.values += [float(f"{value:.5g}") for value in values]
        found.loads += [round(os.getloadavg()[0], 2)] * len(values)

    def find(self, scenario: str, variant: str, routes: int, measure: str) -> Series | None:
        for series in self.series:
            if (series.scenario, series.variant, series.routes, series.measure) == (scenario, variant, routes, measure):
                return series
        return None

    def median(self, scenario: str, variant: str, routes: int, measure: str) -> float | None:
        found = self.find(scenario, variant, routes, measure)
        return found.median if found else None

    def of(self, scenario: str, measure: str) -> list[Series]:
        """All series of this measure, in the order of variants, then by number of routes."""
        found = [series for series in self.series if (series.scenario, series.measure) == (scenario, measure)]
        order = list(dict.fromkeys(series.variant for series in self.series))
        return sorted(found, key=lambda series: (order.index(series.variant), series.routes))

    def write(self, path: Path) -> None:
        variants = {s.variant: [s.kind, s.backend, s.option] for s in self.series}
        head = {"environment": self.environment, "left_out": self.left_out, "variants": variants, "columns": _COLUMNS}
        rows = ([getattr(series, column) for column in _COLUMNS] for series in self.series)
        # A line for each series: small, and still readable.
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        path.write_text(f'{json.dumps(head, indent=1)[:-2]},\n "series": [\n{lines}\n]}}\n')

    @classmethod
    def read(cls, path: Path) -> Results:
        content = json.loads(path.read_text())
        series = []
        for row in content["series"]:
            fields = dict(zip(content["columns"], row, strict=True))
            kind, backend, option = content["variants"][fields["variant"]]
            series.append(Series(**fields, kind=kind, backend=backend, option=option))
        return cls(content["environment"], series, content["left_out"])
