"""Changes of any size, in batches: none is too large, and no route is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.store.batches import Limits, cut, size_of
from jhub_kvproxy.traefik_routers.order import stages
from jhub_kvproxy.traefik_routers.table import Routing, RoutingTable
from tests.strategies import hosts, jupyterhub_escape, paths, routespec
from tests.traefik_model import TraefikModel

pytestmark = pytest.mark.usefixtures("small_nodes")

patterns = st.lists(st.tuples(hosts, paths), unique=True, max_size=25)


def table(routing, wanted):
    return RoutingTable(routing, [Route(routespec(*pattern), "http://127.0.0.1:1", {}) for pattern in wanted])


def cut_for(changes, store, limits):
    return cut(stages(changes, store), limits)


def after(store, part):
    merged = {**store, **part}
    return {key: value for key, value in merged.items() if value is not None}


@given(patterns, st.none() | st.integers(6, 30), st.none() | st.integers(0, 5000))
def test_batches_are_within_the_limits_and_leave_nothing_out(wanted, ops, size):
    changes = dict(table(Routing.TREE, wanted).keys)
    parts = list(cut_for(changes, {}, Limits(ops, size)))
    assert {key: value for part in parts for key, value in part.items()} == changes
    assert sum(map(len, parts)) == len(changes)
    for part in parts:
        elements = {"/".join(key.split("/", 4)[:4]) for key in part}
        assert len(elements) == 1 or ((ops is None or len(part) <= ops) and (size is None or size_of(part) <= size))
    assert ops or size is not None or len(parts) <= 1


@settings(max_examples=60)
@given(patterns, st.integers(8, 40), st.sampled_from([tuple(Routing), tuple(reversed(Routing))]))
def test_another_routing_loses_no_route_on_the_way(wanted, ops, routings):
    old, new = (table(routing, wanted) for routing in routings)
    store, stages = dict(old.keys), []
    for part in cut_for(new.drift(old.keys), old.keys, Limits(ops, None)):
        store = after(store, part)
        stages.append(TraefikModel(store, is_whole=False))
    assert store == new.keys
    for host, path in wanted:
        route = Route(routespec(host, path), "http://127.0.0.1:1", {})
        for stage in stages:
            served = stage.serve(host or "other", "/" + "/".join(map(jupyterhub_escape, path)))
            assert served in {old.router(route), new.router(route)}


def test_a_damaged_table_can_be_repaired():
    """Whatever others wrote into the keys that the order depends on."""
    whole = table(Routing.TREE, [(None, (name,)) for name in "abc"])
    (rule, *_) = [key for key in whole.keys if key.endswith("/rule")]
    router = rule.removesuffix("/rule")
    damage = {f"{router}/priority": "high", f"{router}/parentRefs": router.rpartition("/")[2]}
    store = {**whole.keys, **damage, "traefik/http/routers/foreign/priority": "x"}
    for part in cut_for(whole.drift(store), store, Limits(6, None)):
        store = after(store, part)
    assert store == whole.keys
