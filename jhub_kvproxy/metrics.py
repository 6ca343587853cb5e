"""Our Prometheus metrics that count events, where these happen. They are in the hub's ``/hub/metrics``.

The prefix ``kvproxy_`` is fixed, whatever ``JUPYTERHUB_METRICS_PREFIX`` is: dashboards and alerts rely on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Histogram

from .errors import BackendUnavailable, LeaseHeld, LeaseLost, RouteNotReady

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
