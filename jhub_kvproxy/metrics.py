"""Our Prometheus metrics, in the hub's ``/hub/metrics``.

What happens is counted where it happens. What is so is read when Prometheus asks, from the memory of the
proxies that are open, so that nothing stays behind of one that is closed. The prefix ``kvproxy_`` is fixed, whatever
``JUPYTERHUB_METRICS_PREFIX`` is: dashboards and alerts rely on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .errors import BackendUnavailable, LeaseHeld, LeaseLost, RouteNotReady
from .push.plugin import Answer
from .push.replica import Replica, Standing
from .routing.revision import Revision

_CALL = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_CHANGE = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

#: From a route change being wanted to its being in the store, or given up.
COMMIT_DURATION = Histogram(
    "kvproxy_commit_duration_seconds",
    "Time that a route change waited until it was in the store, or given up",
    buckets=_CHANGE,
)
#: Of commits that went through.
COMMIT_ROUTES = Histogram("kvproxy_commit_routes", "Route changes that were committed together", buckets=_SIZE)
COMMIT_RETRIES = Counter("kvproxy_commit_retries", "Commits that had to be tried again")
TRANSACTION_KEYS = Histogram(
    "kvproxy_transaction_keys", "Keys that one transaction of the store changed", buckets=_SIZE
)

_READY_DURATION = Histogram(
    "kvproxy_ready_duration_seconds",
    "Time that a route change waited, once it was in the store, until Traefik served it, or did not in time",
    buckets=_CHANGE,
)
_READY_FAILURES = Counter("kvproxy_ready_failures", "Waits for Traefik that ended without success")

_STORE_DURATION = Histogram(
    "kvproxy_store_duration_seconds", "Time of one call to the store", ["operation"], buckets=_CALL
)
_STORE_ERRORS = Counter("kvproxy_store_errors", "Calls to the store that failed", ["operation", "error"])

_DRIFT_REPAIRS = Counter("kvproxy_drift_repairs", "Times that the store was not as the hub left it, and was repaired")
_DRIFT_KEYS = Counter("kvproxy_drift_keys", "Keys that were repaired then")

#: Of the Traefiks that the hub starts.
TRAEFIK_RESTARTS = Counter(
    "kvproxy_traefik_restarts", "Times that a Traefik ended by itself, or hung, and was started again"
)

# A series that appears with its first event has no increase that an alert could see.
_TIMED = ("apply", "load", "lease")
for _operation in _TIMED:
    _STORE_DURATION.labels(_operation)
for _operation in (*_TIMED, "watch"):
    for _error in ("unavailable", "rejected", "lease"):
        _STORE_ERRORS.labels(_operation, _error)


@contextmanager
def store_call(operation: str) -> Iterator[None]:
    """Around a call to the store: `operation` is ``apply``, ``load`` or ``lease``."""
    try:
        with _STORE_DURATION.labels(operation).time():
            yield
    except Exception as error:
        store_failed(operation, error)
        raise


def store_failed(operation: str, error: Exception) -> None:
    """`operation`, such as ``watch``, has failed with `error`."""
    if isinstance(error, BackendUnavailable):
        kind = "unavailable"
    else:
        kind = "lease" if isinstance(error, LeaseHeld | LeaseLost) else "rejected"
    _STORE_ERRORS.labels(operation, kind).inc()


@contextmanager
def ready_wait() -> Iterator[None]:
    """Around the wait of a route change for Traefik."""
    try:
        with _READY_DURATION.time():
            yield
    except RouteNotReady:
        _READY_FAILURES.inc()
        raise


def drift_repaired(keys: int) -> None:
    """So many keys of the store were not as the hub left them, and are again."""
    _DRIFT_REPAIRS.inc()
    _DRIFT_KEYS.inc(keys)


@dataclass(frozen=True, eq=False, slots=True)
class Source:
    """Where the gauges are read; each function answers at once, from memory."""

    routes: Callable[[], int]
    is_lease_held: Callable[[], bool]
    replicas: Callable[[], Sequence[Replica]]
    #: What the plugin of each replica answered last; of those that have one.
    plugins: Callable[[], Mapping[Replica, Answer]]


class Gauges(Collector):
    """What is so now, of all `sources`: one, but for tests."""

    def __init__(self) -> None:
        self.sources: set[Source] = set()

    def collect(self) -> Iterator[Metric]:
        sources = list(self.sources)
        routes = sum(source.routes() for source in sources)
        yield GaugeMetricFamily("kvproxy_routes", "Routes in the table", routes)
        is_held = bool(sources) and all(source.is_lease_held() for source in sources)
        yield GaugeMetricFamily("kvproxy_lease_held", "Whether this hub may write to the store", is_held)
        replicas = {replica.api.name: replica for source in sources for replica in source.replicas()}
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
        yield from _of_plugins({r.api.name: answer for source in sources for r, answer in source.plugins().items()})


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
