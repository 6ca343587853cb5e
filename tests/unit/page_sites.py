"""Sites that no hub has made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.survey.lease import HubLease
from jhub_kvproxy.survey.replicas import Replica
from jhub_kvproxy.survey.site import Site, Store
from jhub_kvproxy.survey.table import StoredRoute, Table


def site_of(routes: Mapping[str, tuple[str, Mapping[str, Any]]], error: str = "") -> Site:
    """One with these targets and data by routespec."""
    stored = {
        spec: StoredRoute(spec, target, data, route=Route(spec, target, dict(data)))
        for spec, (target, data) in routes.items()
    }
    table = Table() if error else Table(stored, "1a-2b.3")
    store = Store("TomlBackend", "jupyterhub", error, None if error else 0.001, table)
    return Site(
        store, HubLease("A hub"), (Replica("local", "http://127.0.0.1:1", "push", revision="1a-2b.3", is_current=True),)
    )
