"""What Prometheus would read."""

from __future__ import annotations

from contextlib import contextmanager

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families


def value(name: str, **labels: str) -> float | None:
    """Of one series of this process; None: there is none."""
    return REGISTRY.get_sample_value(name, labels)


@contextmanager
def rising(*names: str, **labels: str):
    """A function that tells by how much each series, or the only one, has risen since."""
    before = [value(name, **labels) or 0.0 for name in names]

    def risen():
        rises = [(value(name, **labels) or 0.0) - old for name, old in zip(names, before, strict=True)]
        return rises[0] if len(rises) == 1 else rises

    yield risen


def series(page: str) -> dict[str, list[dict[str, str]]]:
    """The label sets of each metric of a page, by the name of the series."""
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def types(page: str) -> dict[str, str]:
    """The type of each metric of a page; a counter's name with its ``_total``."""
    families = text_string_to_metric_families(page)
    return {family.name + ("_total" if family.type == "counter" else ""): family.type for family in families}
