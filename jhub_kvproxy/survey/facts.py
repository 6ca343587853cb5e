"""A site as JSON, for programs. Pure."""

from __future__ import annotations

from typing import Any

from .lease import HubLease
from .site import Site, Store
from .verdict import problems, verdict


def facts_of(site: Site) -> dict[str, Any]:
    """All but the routes."""
    store = site.store
    return {
        "ok": not problems(site),
        "verdict": verdict(site),
        "problems": problems(site),
        "hub": _lease_facts(site.lease, store),
        "store": {
            "backend": store.backend,
            "prefix": store.prefix,
            "error": store.error or None,
            "latency": store.latency,
            "revision": store.table.revision or None,
            "routes": None if store.error else len(store.table.routes),
        },
        "replicas": [replica.to_json() for replica in site.replicas],
    }


def _lease_facts(lease: HubLease | None, store: Store) -> dict[str, Any]:
    lease, has_lease = lease or HubLease(), lease is not None
    return {
        "lease": has_lease,
        "holder": lease.holder or None,
        "since": lease.since.isoformat() if lease.since else None,
        "seconds": lease.seconds,
        "term": store.table.term,
        "unknown": lease.unknown or None,
    }
