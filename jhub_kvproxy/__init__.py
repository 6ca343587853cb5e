"""A JupyterHub proxy whose routing table survives its proxies: Traefik replicas route, a key-value store remembers."""

from ._version import __version__
from .errors import (
    BackendError,
    BackendNotFound,
    BackendRejected,
    BackendUnavailable,
    BatchRejected,
    KVProxyError,
    LeaseHeld,
    LeaseLost,
    RouteNotReady,
    RouteRejected,
    TraefikError,
)
from .files import write_atomically
from .routing.changes import difference
from .store.contract import Backend, Batch, Snapshot, SupportsLease, SupportsWatch
from .traefik.dynamic import unflatten
from .traefik_routers.fragments import Fragments

__all__ = [
    "Backend",
    "BackendError",
    "BackendNotFound",
    "BackendRejected",
    "BackendUnavailable",
    "Batch",
    "BatchRejected",
    "Fragments",
    "KVProxyError",
    "LeaseHeld",
    "LeaseLost",
    "RouteNotReady",
    "RouteRejected",
    "Snapshot",
    "SupportsLease",
    "SupportsWatch",
    "TraefikError",
    "__version__",
    "difference",
    "unflatten",
    "write_atomically",
]
