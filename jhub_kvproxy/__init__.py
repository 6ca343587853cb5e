"""A JupyterHub proxy whose routing table survives its proxies: Traefik replicas route, a key-value store remembers."""

from ._version import __version__
from .aio import Backoff, cancel, in_thread
from .checksum import read_checked, with_checksum, without_checksum
from .deprecation import RenamedOption
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
from .store.contract import (
    CONTRACT,
    Backend,
    Batch,
    LeaseReport,
    Snapshot,
    SupportsLease,
    SupportsLeaseReport,
    SupportsTraefik,
    SupportsWatch,
    Told,
)
from .traefik_routers.document import Fragments, unflatten

__all__ = [
    "CONTRACT",
    "Backend",
    "BackendError",
    "BackendNotFound",
    "BackendRejected",
    "BackendUnavailable",
    "Backoff",
    "Batch",
    "BatchRejected",
    "Fragments",
    "KVProxyError",
    "LeaseHeld",
    "LeaseLost",
    "LeaseReport",
    "RenamedOption",
    "RouteNotReady",
    "RouteRejected",
    "Snapshot",
    "SupportsLease",
    "SupportsLeaseReport",
    "SupportsTraefik",
    "SupportsWatch",
    "Told",
    "TraefikError",
    "__version__",
    "cancel",
    "difference",
    "in_thread",
    "read_checked",
    "unflatten",
    "with_checksum",
    "without_checksum",
    "write_atomically",
]
