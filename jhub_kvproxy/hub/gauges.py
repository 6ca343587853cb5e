"""Our Prometheus metrics that tell a state: read when Prometheus asks, from the memory of the proxies that are open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..push.plugin import Answer
from ..push.readiness import Readiness
from ..push.replica import Standing
from ..routing.revision import Revision
from ..store.lease import Lease
from ..store.writer import Writer
from .ways import DeliveryWay


@dataclass(frozen=True, eq=False, slots=True)
class Source:
    """Where the gauges are read."""

    writer: Writer
    lease: Lease
    readiness: Readiness
    delivery: DeliveryWay


class Gauges(Collector):
    """What is so now, of all `sources`: one, but for tests."""

    def __init__(self) -> None:
        self.sources: set[Source] = set()

    def collect(self) -> Iterator[Metric]:
        sources = list(self.sources)
        routes = sum(len(source.writer.table.routes) for source in sources)
        yield GaugeMetricFamily("kvproxy_routes", "Routes in the table", routes)
        is_held = bool(sources) and all(source.lease.is_held for source in sources)
        yield GaugeMetricFamily("kvproxy_lease_held", "Whether this hub may write to the store", is_held)
        replicas = {replica.api.label: replica for source in sources for replica in source.readiness.replicas}
        yield _by_standing([replica.standing for replica in replicas.values()])
        up = GaugeMetricFamily("kvproxy_replica_up", "Whether the replica's API answers", labels=["replica"])
        lag = GaugeMetricFamily(
            "kvproxy_replica_lag_seconds",
            "How long the replica has lacked a revision of the table that it should serve",
            labels=["replica"],
        )
        for name, replica in sorted(replicas.items()):
            up.add_metric([name], replica.standing is not Standing.DOWN)
            lag.add_metric([name], replica.lag.seconds)
        yield up
        yield lag
        yield from _of_plugins(
            {r.api.label: answer for source in sources for r, answer in source.delivery.answers.items()}
        )


def _of_plugins(answers: Mapping[str, Answer]) -> Iterator[Metric]:
    routes = GaugeMetricFamily(
        "kvproxy_replica_routes", "Routes that the plugin in the replica serves", labels=["replica"]
    )
    revision = GaugeMetricFamily(
        "kvproxy_replica_revision", "Number of the revision that the plugin in the replica serves", labels=["replica"]
    )
    requests = CounterMetricFamily(
        "kvproxy_requests",
        "Requests that the plugin in the replica has sent to a server since that Traefik was started, by kind of route",
        labels=["replica", "kind"],
    )
    for name, answer in sorted(answers.items()):
        routes.add_metric([name], answer.routes)
        revision.add_metric([name], Revision.read(answer.served.revision).number)
        for kind, count in sorted(answer.requests.items()):
            requests.add_metric([name, kind], count)
    yield routes
    yield revision
    yield requests


def _by_standing(standings: Sequence[Standing]) -> GaugeMetricFamily:
    family = GaugeMetricFamily("kvproxy_replicas", "Replicas of Traefik", labels=["standing"])
    for standing in Standing:
        family.add_metric([standing.name.lower()], standings.count(standing))
    return family


GAUGES = Gauges()
REGISTRY.register(GAUGES)
