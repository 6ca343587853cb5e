"""One route that moves so many others in Traefik's tree that its change does not fit into one batch of the store."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest

from jhub_kvproxy import BackendUnavailable, BatchRejected
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.store.lease import Lease
from jhub_kvproxy.store.reconciler import Reconciler
from jhub_kvproxy.testing import MemoryBackend
from jhub_kvproxy.traefik_routers.table import Routing, RoutingTable
from tests.traefik_model import TraefikModel

LOG = logging.getLogger(__name__)
#: Found by a random search. With any of these more, the table has nodes; each such step changes 64 keys or more.
ROUTES = {
    routespec: Route(routespec, "http://127.0.0.1:1", {})
    for host, paths in {
        "": ["/", "/hub/", "/services/", "/user/", "/user/2/"],
        "a.example.com": ["/hub/", "/services/2/", "/user/", "/user/0/"],
        "b.example.org": ["/services/", "/user/17/", "/user/2/1/", "/user/2/3/"],
        "c.io": ["/", "/services/", "/user/", "/user/1/"],
        "d.net": ["/", "/services/", "/user/", "/user/2/3/"],
    }.items()
    for routespec in (host + path for path in paths)
}


class Store(MemoryBackend):
    """Takes no more than the contract demands. `faults` are raised by the next changes; None: it goes well."""

    max_txn_ops = 64

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.states, self.faults = [], []

    async def apply(self, batch):
        assert len(batch.changes) <= self.max_txn_ops
        if self.faults and (fault := self.faults.pop(0)):
            raise fault
        await super().apply(batch)
        self.states.append(dict(self._table.keys))


async def prepared(without, lease_seconds=60):
    """A store that holds all routes but that one, and what keeps it."""
    store = Store(name=uuid4().hex, prefix="p")
    stored = Reconciler(RoutingTable(Routing.TREE), store, Lease(store, lease_seconds, LOG), LOG)
    await stored.check()
    assert not await stored.put({route.name: route for spec, route in ROUTES.items() if spec != without}, False)
    store.states.clear()
    return store, stored


async def is_whole(store, stored):
    assert not stored.table.drift((await store.load()).keys)


def serves(keys, route):
    host, _, path = route.routespec.partition("/")
    served = TraefikModel(keys, is_whole=False).serve(host or "other.example.com", f"/{path}x")
    return served == RoutingTable(Routing.TREE).router(route)


@pytest.mark.parametrize("routespec", ROUTES)
async def test_it_is_made_in_parts_and_all_other_routes_are_served_meanwhile(routespec):
    store, stored = await prepared(routespec)
    route = ROUTES[routespec]
    others = [other for other in ROUTES.values() if other is not route]
    for wanted in (route, None):
        store.states.clear()
        assert not await stored.put({route.name: wanted}, False)
        assert len(store.states) == 2
        for state in store.states:
            assert [other.routespec for other in others if not serves(state, other)] == []
        assert stored.table.routes.get(route.name) is wanted
        await is_whole(store, stored)


@pytest.mark.parametrize("is_added", [True, False])
async def test_a_store_that_is_lost_between_the_parts_is_repaired_to_the_table_before(is_added):
    store, stored = await prepared("/user/2/")
    route = ROUTES["/user/2/"]
    if not is_added:
        await stored.put({route.name: route}, False)
    before = stored.table.routes.copy()
    store.faults = [None, BackendUnavailable("It is away.")]
    with pytest.raises(BackendUnavailable):
        await stored.put({route.name: route if is_added else None}, False)
    assert stored.in_doubt
    assert stored.table.routes == before
    await stored.ensure()
    assert stored.table.routes == before
    await is_whole(store, stored)


async def test_a_part_that_is_refused_leaves_nothing_of_the_others_and_no_other_route_fails():
    store, stored = await prepared("/user/2/")
    route, other = ROUTES["/user/2/"], Route("/user/2/", "http://127.0.0.1:2", {})
    changed = Route("/", "http://127.0.0.1:2", {})
    store.faults = [None, BatchRejected("It is too large.")]
    rejected = await stored.put({route.name: other, changed.name: changed}, False)
    assert list(rejected) == [route.name]
    assert not stored.in_doubt
    assert stored.table.routes[changed.name] is changed
    assert route.name not in stored.table.routes
    await is_whole(store, stored)
