"""Why a request is answered as it is, in words."""

from __future__ import annotations

import pytest

from jhub_kvproxy.routing.records import RECORDS, REVISION
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.survey.explanation import findings, summary
from jhub_kvproxy.survey.matching import Request, candidates
from jhub_kvproxy.survey.table import table_in
from jhub_kvproxy.survey.trace import Passage, Reply, Trace

TARGET = "http://127.0.0.1:1"


def traced(url, routespec, data, status, reply=None):
    """A trace of `url` where the only route is `routespec`, and its server answers `status`."""
    route = Route(routespec, TARGET, data)
    table = table_in({RECORDS + route.name: route.to_record(), REVISION: "a-w.1"})
    request = Request.of(url)
    passage = Passage("local", routespec, TARGET, reply=reply)
    return Trace(request, candidates(request, table.routes), Reply(TARGET, status), [passage])


@pytest.mark.parametrize(
    ("url", "routespec"),
    [
        ("/user/alice/lab", "/"),
        ("/base/user/alice/lab", "/base/"),
        ("http://h.example/base/user/alice/", "h.example/base/"),
    ],
)
def test_the_hub_answers_for_a_server_that_does_not_run(url, routespec):
    [found] = findings(traced(url, routespec, {"hub": True}, 302))
    assert "so the hub answers it with 302: this server does not run" in found


def test_the_hubs_own_pages_are_nobodys_server():
    assert findings(traced("/base/hub/user/x", "/base/", {"hub": True}, 200)) == []


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply("http://127.0.0.1:8000/user/a/", 502), "the answer is 502, though the server answers 200"),
        (Reply("http://127.0.0.1:8000/user/a/", error="connection refused"), "nothing answers (connection refused)"),
    ],
)
def test_a_replica_whose_answer_is_not_that_of_the_server(reply, words):
    trace = traced("/user/a/", "/user/a/", {"user": "a"}, 200, reply)
    assert summary(trace).startswith("Replica local: at http://127.0.0.1:8000/user/a/ ")
    assert words in summary(trace)


def test_a_server_that_answers_through_its_replica():
    trace = traced("/user/a/", "/user/a/", {"user": "a"}, 200, Reply("http://127.0.0.1:8000/user/a/", 200))
    assert summary(trace) == "The request reaches its server, which answers 200."
