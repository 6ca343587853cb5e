"""What tools make of a table: which route a request gets, and how far a replica is behind."""

from __future__ import annotations

import pytest

from jhub_kvproxy.errors import RouteRejected
from jhub_kvproxy.routing.policy import Policy
from jhub_kvproxy.routing.records import RECORDS, REVISION
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.survey.matching import Request, candidates
from jhub_kvproxy.survey.replicas import Replica, compared
from jhub_kvproxy.survey.table import table_in
from jhub_kvproxy.survey.trace import sent_to


def table(*routespecs):
    routes = [Route(spec, f"http://127.0.0.1:{number + 1}", {}) for number, spec in enumerate(routespecs)]
    return table_in({RECORDS + route.name: route.to_record() for route in routes} | {REVISION: "a-w.1"})


@pytest.mark.parametrize(
    ("url", "winner"),
    [
        ("/user/alice", "/user/alice/"),
        ("/user/alice/lab?x=/user/bob", "/user/alice/"),
        ("/user/%61lice/lab", "/user/alice/"),
        ("/user/alice/gpu/lab#x", "/user/alice/gpu/"),
        ("/user/alicee", "/"),
        ("https://hub.example/user/alice/", "/user/alice/"),
        ("https://B.example:8443/user/alice/x", "b.example/user/"),
    ],
)
def test_the_longest_path_wins_and_a_host_before_that(url, winner):
    routes = table("/", "/user/alice/", "/user/alice/gpu/", "b.example/user/").routes
    [won] = [each.route.routespec for each in candidates(Request.of(url), routes) if each.wins]
    assert won == winner


def test_why_the_others_do_not_get_it():
    routes = table("/", "/user/alice/", "/user/bob/", "b.example/user/Alice/").routes
    found = candidates(Request.of("/user/Alice/lab"), routes)
    assert [(each.route.routespec, each.wins, each.why) for each in found] == [
        ("/", True, ""),
        ("/user/alice/", False, "its path has other upper and lower case"),
        ("b.example/user/Alice/", False, "it is of the host b.example"),
    ]
    found = candidates(Request.of("/user/alice/lab"), table("/", "/user/alice/", "/user/alice/gpu/").routes)
    assert [(each.route.routespec, each.why) for each in found[1:]] == [
        ("/", "its path is shorter"),
        ("/user/alice/gpu/", "it is for other paths"),
    ]
    assert candidates(Request.of("/x"), {}) == []


@pytest.mark.parametrize(
    "url", ["user/alice", "ftp://x/y", "http:///x", "/a/../b", "/%ff", "http://[x/", "http://a:x/"]
)
def test_what_no_browser_asks_for_is_refused(url):
    with pytest.raises(RouteRejected):
        Request.of(url)


@pytest.mark.parametrize(
    ("policy", "target", "url"),
    [
        (Policy(), "http://a:1", "http://a:1/user/a/x?y"),
        (Policy(strip_prefix=True), "http://a:1", "http://a:1/x?y"),
        (Policy(), "http://a:1/before/", "http://a:1/before/user/a/x?y"),
        (Policy(prepend_path=False), "http://a:1/before/", "http://a:1/user/a/x?y"),
    ],
)
def test_where_a_request_is_sent(policy, target, url):
    assert sent_to(Route("/user/a/", target, {}), Request.of("/user/a/x?y"), policy) == url


@pytest.mark.parametrize(
    ("served", "stored", "told"),
    [
        ("a-w.3", "a-w.3", {"is_current": True, "behind": 0}),
        ("a-w.4", "a-w.3", {"is_current": True, "behind": 0}),
        ("a-w.1", "a-w.3", {"is_current": False, "behind": 2}),
        ("9-v.7", "a-w.3", {"is_current": False, "behind": None}),
        (None, "a-w.3", {"is_current": False}),
        ("a-w.3", "", {}),
    ],
)
def test_how_far_a_replica_is_behind(served, stored, told):
    assert compared(served, stored) == told


@pytest.mark.parametrize(
    ("state", "known"),
    [
        ("not found", {"url": "", "errors": ("x",)}),
        ("not known", {"errors": ("x",)}),
        ("trouble", {"errors": ("x",), "revision": "a-w.1"}),
        ("up", {}),
        ("serves the table", {"is_current": True, "revision": "a-w.1"}),
        ("lags", {"is_current": False, "revision": "a-w.1"}),
        ("has no table", {"is_current": False}),
    ],
)
def test_the_state_of_a_replica_in_words(state, known):
    replica = Replica(**{"name": "local", "url": "http://127.0.0.1:1", "kind": "push"} | known)
    assert replica.state == state == replica.to_json()["state"]


def test_a_damaged_table_is_told_in_sentences():
    found = table_in({"routes/p.x": "{", "options": "[]"})
    assert [sentence.partition(":")[0] for sentence in found.damage] == [
        "The record 'routes/p.x' is damaged",
        "The key 'options' cannot be read",
        "There are routes without a revision, so no agent serves them.",
    ]
    assert found.term is None
