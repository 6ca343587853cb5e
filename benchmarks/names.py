"""What the names in a plot mean, as text."""

from __future__ import annotations

from .results import Results

_OPTIONS = {
    "store": '*(store)*: the same, but Traefik reads the table from the store by itself (`KVProxy.delivery = "store"`)',
    "metrics": "*(metrics)*: the same with `KVProxy.traefik_metrics`",
}
_KINDS = {
    "peer": "*peer*: jupyterhub-traefik-proxy, with the store in brackets",
    "chp": "*CHP*: configurable-http-proxy",
    "bare": "*bare Traefik*: the floor: Traefik alone with one router, the least that a request through it costs",
}


def names(results: Results, scenario: str) -> str:
    """One sentence on all names that `scenario` has; empty: it was not measured."""
    found = [series for series in results.series if series.scenario == scenario]
    own = sorted({series.backend for series in found if series.kind == "own"})
    options = {word.strip() for series in found for word in series.option.split(",")}
    kinds = {series.kind for series in found}
    told = [f"{', '.join(f'*{name}*' for name in own)}: jhub-kvproxy with this store"] if own else []
    told += [text for option, text in _OPTIONS.items() if option in options]
    told += [text for kind, text in _KINDS.items() if kind in kinds]
    return f"{'; '.join(told)}.\n" if told else ""
