"""The table tells exactly what to change in the store, and nothing that need not change."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jhub_kvproxy.routing.policy import Policy
from jhub_kvproxy.routing.records import TRAEFIK_REVISION, read_records
from jhub_kvproxy.routing.routes import Pattern, Route
from jhub_kvproxy.traefik_routers import tree
from jhub_kvproxy.traefik_routers.document import unflatten
from jhub_kvproxy.traefik_routers.pages import ERROR_PAGE, HUB_AWAY
from jhub_kvproxy.traefik_routers.serving import Serving
from jhub_kvproxy.traefik_routers.table import ROUTERS, Routing, RoutingTable
from tests.model import winner
from tests.strategies import data, encodings, hosts, jupyterhub_escape, paths, routespec, routespecs, segments
from tests.traefik_model import TraefikModel

pytestmark = pytest.mark.usefixtures("small_nodes")

targets = st.sampled_from(["http://127.0.0.1:1", "http://127.0.0.1:2", "https://h:3/base/path", "http://[::1]:4/"])
# The hub's own route is served otherwise.
routes = st.builds(Route, routespecs, targets, data | st.just({"hub": True}))
selections = st.booleans() | st.frozensets(routespecs.map(Pattern.parse), max_size=3)
policies = st.builds(
    Policy,
    error_target=st.sampled_from(["", "http://hub:8081/hub/error", "https://[::1]:8081/e/"]),
    tells_url=st.booleans(),
    change_origin=selections,
    strip_prefix=selections,
    prepend_path=selections,
)
servings = st.just(Serving()) | st.builds(Serving, policies, transport=st.sampled_from(["", "t@file"]))


def written(store: dict, changes: dict) -> dict:
    """`store` after `changes`, which must all be changes."""
    for key, value in changes.items():
        assert store.get(key) != value, "a write that changes nothing"
    merged = {**store, **changes}
    return {key: value for key, value in merged.items() if value is not None}


class TableAgainstAFreshOne(RuleBasedStateMachine):
    routing = Routing.TREE

    @initialize(serving=servings)
    def start(self, serving):
        self.table = RoutingTable(self.routing, serving=serving)
        self.store = written({}, self.table.drift({}))

    @rule(wanted=st.lists(routes, max_size=4), gone=st.integers(0, 3), rng=st.randoms(use_true_random=False))
    def change(self, wanted, gone, rng):
        batch = {route.name: route for route in wanted}
        known = sorted(self.table.routes)
        batch.update(dict.fromkeys(rng.sample(known, min(gone, len(known)))))
        self.store = written(self.store, self.table.put(batch))

    @rule(route=routes)
    def put_and_take_back(self, route):
        before = self.table.routes.get(route.name)
        self.table.put({route.name: route})
        self.table.put({route.name: before})

    @invariant()
    def keys_follow_from_the_routes_alone(self):
        fresh = RoutingTable(self.routing, self.table.routes.values(), self.table.serving)
        assert self.store == self.table.keys == fresh.keys
        assert self.table.drift({**self.store, TRAEFIK_REVISION: "any"}) == {}

    @invariant()
    def records_bring_the_table_back(self):
        found, damaged = read_records(self.store, RoutingTable(self.routing, serving=self.table.serving))
        assert found.keys == self.store
        assert not damaged


class FlatTableAgainstAFreshOne(TableAgainstAFreshOne):
    routing = Routing.FLAT


TestTableAgainstAFreshOne = TableAgainstAFreshOne.TestCase
TestFlatTableAgainstAFreshOne = FlatTableAgainstAFreshOne.TestCase
for case in (TestTableAgainstAFreshOne, TestFlatTableAgainstAFreshOne):
    case.settings = settings(max_examples=50, stateful_step_count=10)


@given(
    st.lists(routes, max_size=5),
    servings,
    st.dictionaries(st.text(max_size=3).map("traefik/x/".__add__), st.text(max_size=3)),
    st.data(),
)
def test_drift_repairs_any_store(wanted, serving, foreign, draw):
    table = RoutingTable(Routing.TREE, {route.name: route for route in wanted}.values(), serving)
    lost = draw.draw(st.sets(st.sampled_from(sorted(table.keys)))) if table.keys else set()
    store = {key: value for key, value in table.keys.items() if key not in lost} | foreign
    store["lease"] = "not the table's"
    assert written(store, table.drift(store)) == {**table.keys, "lease": "not the table's"}


def test_one_damaged_record_does_not_take_the_others_down():
    route = Route("/user/a/", "http://127.0.0.1:1", {})
    stored = RoutingTable(Routing.TREE, [route]).keys
    table, damaged = read_records({**stored, "routes/p.user.b": "{"}, RoutingTable(Routing.TREE))
    assert list(table.routes) == [route.name]
    assert list(damaged) == ["routes/p.user.b"]


@given(st.lists(routes, max_size=5), st.data())
def test_known_routes_are_kept_and_others_read(wanted, draw):
    known = RoutingTable(Routing.TREE, draw.draw(st.lists(st.sampled_from(wanted), unique_by=id)) if wanted else [])
    store = RoutingTable(Routing.TREE, {route.name: route for route in wanted}.values())
    found, damaged = read_records(store.keys, known)
    assert found.keys == store.keys
    assert not damaged
    for name, route in known.routes.items():
        assert (found.routes[name] is route) == (route.to_record() == store.routes[name].to_record())


def test_a_change_of_type_in_data_is_a_change():
    table = RoutingTable(Routing.TREE, [Route("/a/", "http://127.0.0.1:1", {"n": 1})])
    assert table.put({"p.a": Route("/a/", "http://127.0.0.1:1", {"n": True})})


def _names(text):
    return text.split(",") if text else []


@pytest.mark.parametrize("routing", Routing)
@given(wanted=st.lists(routes, max_size=12), serving=servings)
def test_traefiks_part_is_complete(routing, wanted, serving):
    table = RoutingTable(routing, {route.name: route for route in wanted}.values(), serving)
    nested = unflatten({key: value for key, value in table.keys.items() if key.startswith("traefik/")})
    http = {"routers": {}, "services": {}, **(nested["traefik"]["http"] if nested else {})}
    served = {router["service"] for router in http["routers"].values() if "service" in router}
    assert served == {table.router(route) for route in table.routes.values()}
    assert served == {name for name in http["services"] if not name.startswith("kvproxy-")}
    for name in served:
        service = http["services"][name]
        (server,) = service["loadBalancer"]["servers"]
        assert server["url"].startswith("http")
    named = {name for router in http["routers"].values() for name in _names(router.get("middlewares"))}
    for service in http["services"].values():
        named.update(_names(service.get("middlewares")))
        below = service.get("failover", {})
        assert {below[part] for part in ("service", "fallback") if part in below} <= http["services"].keys()
    middlewares = http.get("middlewares", {})
    assert named <= middlewares.keys()
    assert {name for name in middlewares if not name.startswith("kvproxy-")} <= named
    asked = {m["errors"]["service"] for m in middlewares.values() if "errors" in m}
    assert asked <= http["services"].keys()
    assert all(table.keys.values()), "Redis loses an empty value on its way to Traefik"
    for router in http["routers"].values():
        assert int(router["priority"]) > 0 if "parentRefs" not in router else router.get("priority") != "0"


@given(
    wanted=st.lists(routes, max_size=25),
    serving=servings.filter(lambda serving: serving.policy.error_target),
    routing=st.sampled_from(Routing),
)
def test_every_route_has_error_pages_and_the_hub_its_own(wanted, serving, routing):
    table = RoutingTable(routing, {route.name: route for route in wanted}.values(), serving)
    routers = {}
    for key, value in table.keys.items():
        if key.startswith(ROUTERS):
            name, option = key.removeprefix(ROUTERS).split("/")
            routers.setdefault(name, {})[option] = value

    hubs = {table.router(route) for route in table.routes.values() if route.data.get("hub")}
    for router in routers.values():
        if "service" in router:
            page, *_ = _names(router["middlewares"])
            assert page == (HUB_AWAY if router["service"] in hubs else ERROR_PAGE)


def test_a_route_that_becomes_the_hubs_is_served_as_the_hubs_everywhere():
    serving = Serving(Policy(error_target="http://hub:8081/hub/error"))
    users = [Route(f"/user/u{number}/", "http://127.0.0.1:1", {}) for number in range(60)]
    table = RoutingTable(Routing.TREE, [Route("/", "http://127.0.0.1:1", {}), *users], serving)
    hub = Route("/", "http://127.0.0.1:1", {"hub": True})
    table.put({hub.name: hub})
    assert table.keys == RoutingTable(Routing.TREE, [hub, *users], serving).keys


requests = st.tuples(
    st.sampled_from(["example.com", "a.example.com", "c.example.com", "other"]),
    st.lists(segments, max_size=4).map(lambda path: "/" + "/".join(map(jupyterhub_escape, path))),
)


# Names with what comes in two forms, one beginning with the other, and more below them.
siblings = [(None, ("a+b", *rest)) for rest in [(), ("c",), ("c", "d"), ("/c",), ("é",), ("ê",)]]
# A long path whose rule is longer than that of a path below it.
siblings += [(None, ("a" * 40, *rest)) for rest in [(), ("+",), ("+", "c"), ("b",)]]


@settings(max_examples=300)
@given(
    st.lists(st.tuples(hosts, paths) | st.sampled_from(siblings), unique=True, max_size=25),
    st.data(),
)
def test_tree_and_flat_serve_as_the_ten_line_model_does(patterns, draw):
    """Any routes, any request, in any encoding: the longest routespec wins."""
    targets = {routespec(*pattern): Route(routespec(*pattern), "http://127.0.0.1:1", {}) for pattern in patterns}
    tables = [RoutingTable(routing, targets.values()) for routing in Routing]
    models = [TraefikModel(table.keys) for table in tables]
    asked = draw.draw(st.lists(requests, max_size=4))
    for host, path in patterns:  # aimed at the routes, too
        encoded = draw.draw(st.tuples(*map(encodings, path)))
        asked.append((host or "other", "/" + "/".join(encoded) + draw.draw(st.sampled_from(["", "/", "/x", "x"]))))
    for host, path in asked:
        best = winner(targets, host, path)
        for table, model in zip(tables, models, strict=True):
            assert model.serve(host, path) == (best and table.router(targets[best])), (table.routing, host, path)


NAMES_BY_THE_THOUSAND = {
    "numbers": [f"student{number:05}" for number in range(10_000)],
    "letters": ["".join(random.Random(number).choices("abcdefghijklmnopqrstuvwxyz", k=7)) for number in range(10_000)],
    "mail": [f"user{number}@example.com" for number in range(10_000)],
    "reserved": [f"+{number:05}" for number in range(10_000)],
    "han": [chr(0x4E00 + number % 2500) + chr(0x4E00 + number * 7 % 5003) for number in range(10_000)],
}


@pytest.mark.parametrize("kind", NAMES_BY_THE_THOUSAND)
@pytest.mark.parametrize("with_hosts", [False, True], ids=["paths", "hosts"])
def test_ten_thousand_routes_are_few_at_every_level_and_change_in_few_places(kind, with_hosts, monkeypatch):
    monkeypatch.setattr(tree, "SPLIT", 20)
    monkeypatch.setattr(tree, "GROUP", 4)
    names = dict.fromkeys(map(jupyterhub_escape, NAMES_BY_THE_THOUSAND[kind]))
    host = "u{}.example.com" if with_hosts else ""
    specs = [f"{host.format(hashlib.md5(name.encode()).hexdigest())}/user/{name}/" for name in names]
    routes = [Route(spec, "http://127.0.0.1:1", {}) for spec in ["/", *specs]]
    table = RoutingTable(Routing.TREE, routes[:-500], Serving(Policy(error_target="http://hub:8081/hub/error")))
    changes = [table.put({route.name: route}) for route in routes[-500:]]
    assert TraefikModel(table.keys).largest_level <= 200
    changes += [table.put({name: None}) for name in list(table.routes)[:500]]
    assert max(map(len, changes)) < 64
