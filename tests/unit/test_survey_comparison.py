"""How what JupyterHub and replicas have differs from the store."""

from __future__ import annotations

from jhub_kvproxy.routing.records import RECORDS, REVISION
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.survey.comparison import advice, with_jupyterhub, with_replica
from jhub_kvproxy.survey.table import table_in

A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"


def table(**data):
    routes = [
        Route("/", A, {"hub": True}),
        Route("/user/alice/", A, {"user": "alice"}),
        Route("/user/b%C3%B6b/", B, {"user": "böb"}),
        Route("/services/x/", B, {"service": "x"}),
        Route("/tool/", B, {"kvproxy_foreign": True, "user": "a tool"}),
        Route("/extra/", B, {}),
    ]
    return table_in({RECORDS + route.name: route.to_record() for route in routes} | {REVISION: "a-w.1"})


def told(differences):
    return [(each.routespec, each.kind, each.in_store, each.there) for each in differences]


def test_a_replica():
    same = {routespec: route.target for routespec, route in table().routes.items()}
    assert with_replica(table(), "local", same) == []
    changed = {**same, "/user/alice/": B, "/old/": A}
    del changed["/"]
    found = with_replica(table(), "local", changed)
    assert told(found) == [
        ("/", "missing", A, None),
        ("/old/", "extra", None, A),
        ("/user/alice/", "target", A, B),
    ]
    assert all(advice(each).endswith(".") for each in found)


def test_jupyterhub():
    """Hosts, the spelling of paths, and what is not in its database do not count."""
    assert with_jupyterhub(table(), {"/user/alice/": A + "/", "/user/böb/": B, "/services/x/": None}) == []
    found = with_jupyterhub(table(), {"/user/alice/": B, "/user/carol/": None, "/services/x/": None})
    assert told(found) == [
        ("/user/alice/", "target", A, B),
        ("/user/b%C3%B6b/", "missing", B, None),
        ("/user/carol/", "extra", None, None),
    ]
    assert all(advice(each).endswith(".") for each in found)


def test_a_route_with_a_host_is_found_by_its_path():
    route = Route("alice.example/user/alice/", A, {"user": "alice"})
    stored = table_in({RECORDS + route.name: route.to_record(), REVISION: "a-w.1"})
    assert with_jupyterhub(stored, {"/user/alice/": A}) == []
    assert told(with_jupyterhub(stored, {})) == [("alice.example/user/alice/", "missing", A, None)]
