"""The table tells exactly what to change in the store, and nothing that need not change."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jhub_kvproxy.routes import Route
from jhub_kvproxy.table import REVISION_KEY, RoutingTable, batches, by_route, halves, read_records, route_keys
from jhub_kvproxy.traefik.dynamic import unflatten
from tests.strategies import data, routespecs

targets = st.sampled_from(["http://127.0.0.1:1", "http://127.0.0.1:2", "https://h:3/base/path", "http://[::1]:4/"])
routes = st.builds(Route, routespecs, targets, data)


def written(store: dict, changes: dict) -> dict:
    """`store` after `changes`, which must all be changes."""
    for key, value in changes.items():
        assert store.get(key) != value, "a write that changes nothing"
    merged = {**store, **changes}
    return {key: value for key, value in merged.items() if value is not None}


class TableAgainstAFreshOne(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.table = RoutingTable()
        self.store = {}

    @rule(wanted=st.lists(routes, max_size=4), gone=st.integers(0, 3), rng=st.randoms(use_true_random=False))
    def change(self, wanted, gone, rng):
        batch = {route.name: route for route in wanted}
        known = sorted(self.table.routes)
        batch.update(dict.fromkeys(rng.sample(known, min(gone, len(known)))))
        changes = self.table.changes(batch)
        self.store = written(self.store, changes)
        self.table.update(batch, changes)

    @invariant()
    def keys_follow_from_the_routes_alone(self):
        fresh = RoutingTable(self.table.routes.values())
        assert self.store == self.table.keys == fresh.keys
        assert self.table.drift({**self.store, REVISION_KEY: "any"}) == {}

    @invariant()
    def records_bring_the_table_back(self):
        found, damaged = read_records(self.store, RoutingTable())
        assert found.keys == self.store
        assert not damaged


TestTableAgainstAFreshOne = TableAgainstAFreshOne.TestCase
TestTableAgainstAFreshOne.settings = settings(max_examples=50, stateful_step_count=10)


@given(
    st.lists(routes, max_size=5),
    st.dictionaries(st.text(max_size=3).map("traefik/x/".__add__), st.text(max_size=3)),
    st.data(),
)
def test_drift_repairs_any_store(wanted, foreign, draw):
    table = RoutingTable({route.name: route for route in wanted}.values())
    lost = draw.draw(st.sets(st.sampled_from(sorted(table.keys)))) if table.keys else set()
    store = {key: value for key, value in table.keys.items() if key not in lost} | foreign
    store["lease"] = "not the table's"
    assert written(store, table.drift(store)) == {**table.keys, "lease": "not the table's"}


def test_one_damaged_record_does_not_take_the_others_down():
    route = Route("/user/a/", "http://127.0.0.1:1", {})
    table, damaged = read_records({**route_keys(route), "routes/p.user.b": "{"}, RoutingTable())
    assert list(table.routes) == [route.name]
    assert list(damaged) == ["routes/p.user.b"]


@given(st.lists(routes, max_size=5), st.data())
def test_known_routes_are_kept_and_others_read(wanted, draw):
    known = RoutingTable(draw.draw(st.lists(st.sampled_from(wanted), unique_by=id)) if wanted else [])
    store = RoutingTable({route.name: route for route in wanted}.values())
    found, damaged = read_records(store.keys, known)
    assert found.keys == store.keys
    assert not damaged
    for name, route in known.routes.items():
        assert (found.routes[name] is route) == (route.to_record() == store.routes[name].to_record())


@given(st.lists(routes, max_size=8), st.none() | st.integers(6, 20), st.none() | st.integers(0, 5000))
def test_large_changes_are_cut_between_routes(wanted, max_ops, max_bytes):
    table = RoutingTable({route.name: route for route in wanted}.values())
    changes = RoutingTable().changes(table.routes)
    parts = list(batches(changes, max_ops, max_bytes))
    assert_whole(parts, table, changes)
    for part in parts:
        assert max_ops is None or len(part) <= max_ops
        size = sum(len(key.encode()) + len(value.encode()) for key, value in part.items())
        assert max_bytes is None or size <= max_bytes or len(by_route(part)) == 1
    assert max_ops or max_bytes is not None or len(parts) == 1


@given(st.lists(routes, min_size=1, max_size=8))
def test_halving_ends_with_single_routes(wanted):
    table = RoutingTable({route.name: route for route in wanted}.values())
    changes = RoutingTable().changes(table.routes)
    parts = [changes]
    while len(parts) < len(table.routes):
        parts = [half for part in parts for half in halves(part)]
        assert_whole(parts, table, changes)
    assert halves(parts[0]) == [parts[0]]


def assert_whole(parts, table, changes):
    assert {key: value for part in parts for key, value in part.items()} == changes
    assert sum(map(len, parts)) == len(changes)
    for route in table.routes.values():
        assert sum(not part.keys().isdisjoint(route_keys(route)) for part in parts) == 1


def test_a_change_of_type_in_data_is_a_change():
    table = RoutingTable([Route("/a/", "http://127.0.0.1:1", {"n": 1})])
    assert table.changes({"p.a": Route("/a/", "http://127.0.0.1:1", {"n": True})})


@given(st.lists(routes, max_size=5))
def test_traefiks_part_is_complete(wanted):
    keys = {}
    for route in {route.name: route for route in wanted}.values():
        keys.update(route_keys(route))
    tree = unflatten({key: value for key, value in keys.items() if key.startswith("traefik/")})
    http = tree["traefik"]["http"] if tree else {"routers": {}, "services": {}}
    assert http["routers"].keys() == http["services"].keys() == {route.name for route in wanted}
    for router in http["routers"].values():
        (server,) = http["services"][router["service"]]["loadBalancer"]["servers"]
        assert server["url"].startswith("http")
        assert int(router["priority"]) > 0
