"""The agent's metrics for Prometheus, read when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator
from time import time

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from .._version import __version__
from .states import States


class Gauges(Collector):
    """What `states` say of each hub's table; None: this agent has no table."""

    def __init__(self, states: States | None) -> None:
        self._states = states
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("kvproxy_agent", "The agent", {"version": __version__})
        if self._states is None:
            return
        served = GaugeMetricFamily("kvproxy_agent_served", "Whether Traefik serves the hub's table", labels=["hub"])
        routes = GaugeMetricFamily("kvproxy_agent_routes", "Routes of the hub in the table", labels=["hub"])
        refused = GaugeMetricFamily(
            "kvproxy_agent_refused_routes", "Routes of the hub that are not served", labels=["hub"]
        )
        stale = GaugeMetricFamily(
            "kvproxy_agent_store_trouble_seconds",
            "For how long the store has not given the hub's table; 0: it does",
            labels=["hub"],
        )
        for hub, state in self._states.described()["hubs"].items():
            served.add_metric([hub], state["served"])
            routes.add_metric([hub], state["routes"])
            refused.add_metric([hub], len(state["refused"]))
            since = state["store_trouble_since"]
            stale.add_metric([hub], 0.0 if since is None else max(0.0, time() - since))
        yield from (served, routes, refused, stale)
