"""Who gets a request whose path is written to mislead: the same server as with configurable-http-proxy, or nobody."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from hypothesis import given

from tests.hostile.chp import CORPUS, HOSTS, PATHS, answers, model
from tests.hostile.explore import explore
from tests.hostile.scene import scene
from tests.hostile.strategies import targets
from tests.model import winner
from tests.stores import Store
from tests.wire import request

RECORDED = json.loads(CORPUS.read_text())
USERS = set(PATHS.values()) - {"hub"}


def is_refused(answer):
    return answer in ("0", "400", "404", "414", "431")


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize("group", ["paths", "hosts"])
def test_each_recorded_request_gets_to_the_recorded_server(group, request: pytest.FixtureRequest):
    play = request.getfixturevalue(f"on_{group}")
    cases = RECORDED[group]
    replies = play.ask(*(ask(case) for case in cases))
    wrong = {
        (case["target"], case["host"]): (case["here"], reply.server)
        for case, reply in zip(cases, replies, strict=True)
        if case["here"] != reply.server
    }
    assert not wrong


@pytest.mark.parametrize("group", ["paths", "hosts"])
def test_no_recorded_request_goes_to_another_users_server(group):
    """Where we differ from configurable-http-proxy, the request is refused, or the hub gets it."""
    for case in RECORDED[group]:
        here, chp = case["here"], case["chp"]
        assert here == chp or is_refused(here) or here == "hub" or case.get("why"), case


@pytest.mark.parametrize(("group", "routes", "arguments"), [("paths", PATHS, []), ("hosts", HOSTS, ["--host-routing"])])
def test_the_corpus_says_what_configurable_http_proxy_does(group, routes, arguments):
    cases = RECORDED[group]
    said = asyncio.run(answers(routes, [(case["target"], case["host"]) for case in cases], *arguments))
    assert said == [case["chp"] for case in cases]


def test_the_model_says_what_configurable_http_proxy_does():
    for case in RECORDED["paths"]:
        known = model(case["target"])
        assert known in (None, case["chp"]), case


@pytest.mark.fuzz
def test_any_path_gets_to_the_server_that_the_model_says(on_paths):
    """Thousands of paths, against the model of configurable-http-proxy."""
    seen: set[str] = set()

    @given(targets)
    def for_all(target):
        [reply] = on_paths.ask(request(target))
        verdict(target, reply.server)
        seen.add(reply.server)

    explore(for_all, 3000)
    assert {*USERS, "hub", "400"} <= seen


def verdict(target, here):
    """Whether `here` may have got the request."""
    said = f"CORPUS {json.dumps({'target': target, 'host': 'hub.example', 'chp': model(target), 'here': here})}"
    chp = model(target)
    assert here in {*PATHS.values()} or is_refused(here), said
    if here not in USERS or here == chp or chp is None:
        return
    # It is a user's server, and not the one of configurable-http-proxy. What follows are all the reasons for that.
    path = re.sub("^http://[^/]*", "", target, flags=re.IGNORECASE).partition("?")[0]
    if not path.isascii():  # Go then decodes %2F too, for the rules and for the server (net/url, EscapedPath)
        path = re.sub("%2F", "/", path, flags=re.IGNORECASE)
    plain = winner(PATHS, "", path.encode("latin-1").decode(errors="replace"))
    assert plain is not None, said
    assert PATHS[plain] == here, said
    cannot = chp in ("400", "500")
    # Which it takes for another path, since it decodes %2F, and takes a backslash for a slash.
    assert cannot or here == "slash" or "\\" in path, said


def ask(case):
    return request(case["target"], host=case["host"] or None)


def test_the_page_says_what_is_so():
    page = (CORPUS.parents[2] / "docs" / "explanation" / "hostile-input.md").read_text().partition("## Hosts")[0]
    rows = re.findall(r"^\| `([^`]*)` \| (\w+) \| (\w+) \|$", page, re.MULTILINE)
    assert len(rows) > 20
    recorded = {case["target"]: (case["chp"], case["here"]) for case in RECORDED["paths"]}
    assert {target: (chp, here) for target, chp, here in rows} == {target: recorded[target] for target, _, _ in rows}


@pytest.mark.parametrize(
    "target",
    [
        *("http:user/bob/", "http:http://hub.example/user/bob/", "https:user/bob/", "mailto:bob", "x:/../user/bob/"),
        *("user/bob/", "?x", "#", "hub.example/user/bob/", "hub.example:80", "HTTP:user/bob/", "http:?/user/bob/"),
        *("%2Fuser/bob/", "\\user\\bob\\", "javascript:x", "http:%2F%2Fhub.example/user/bob/"),
    ],
)
def test_a_target_that_does_not_begin_with_a_slash_reaches_nobody(on_paths, target):
    """Traefik would compare ``/`` with the routes, and hand on what was sent."""
    replies, seen = on_paths.converse(request(target, "Connection: close"))
    assert [(reply.status, seen) for reply in replies] in ([(400, [])], [(404, [])])


@pytest.mark.parametrize(
    "target", ["/user/alice/a b", "/user/alice/ HTTP/1.1\r\nX-Injected: 1\r\nX:", "/user/alice/\x00"]
)
def test_a_target_with_what_ends_it_is_refused(on_paths, target):
    replies, seen = on_paths.converse(request(target, "Connection: close"))
    assert "X-Injected" not in "".join(head.split("\r\n")[0] for head, _ in seen)
    assert all(head.split(" ")[1] == "/user/alice/" for head, _ in seen)
    assert all(reply.server in ("400", "alice") for reply in replies)


@pytest.fixture(scope="module")
def stripped(tmp_path_factory, delivery):
    """Servers of which one gets the rest of the path only."""
    directory = tmp_path_factory.mktemp("stripped")
    traits = {"delivery": delivery, "strip_prefix": ["/user/alice/"]}
    with scene(directory, Store("toml", {"path": str(directory / "table")}), PATHS, **traits) as play:
        yield play


@pytest.mark.parametrize(
    ("target", "rest"),
    [
        ("/user/alice", "/"),
        ("/user/alice/x", "/x"),
        ("/user/%61lice/x", "/x"),
        ("/%75ser/alice/%2e", None),
        ("/user/alice/..", None),
        ("/user/alice/../bob/", None),
        ("/user/alice/%2e%2e/bob/", None),
        ("/user/alice/.%2E/bob/", None),
        ("/user/alice//evil.example/", None),
        ("/user/alice/./bob/", None),
        ("/user/alice/x/../../bob/", None),
        ("/user/alice/..%2Fbob/", "/..%2Fbob/"),
        ("/user/alice/%2E%2E%2Fbob/", "/..%2Fbob/"),
        ("/user/alice/%252e%252e/bob/", "/%252e%252e/bob/"),
        ("/user/alice/%2F%2Fevil.example/", "/%2F%2Fevil.example/"),
        ("/user/alice/x?y=/../z", "/x?y=/../z"),
        ("/user/alice/%C3%AB", "/%C3%AB"),
        ("http://other/user/alice/x", "/x"),
    ],
)
def test_what_is_left_of_a_path_stays_below_the_route(stripped, target, rest):
    """The part that goes is cut out of the path that was compared, and out of the one that is handed on, alike."""
    [reply] = stripped.ask(request(target))
    assert (reply.server, reply.said and reply.target) == (("alice", rest) if rest else ("400", {}))
    assert not reply.said or reply.sent("X-Forwarded-Prefix") == ["/user/alice"]


@pytest.mark.parametrize("line", ["Connection: X-Forwarded-Prefix", "Connection: x-forwarded-prefix, close", "X-Y: z"])
@pytest.mark.parametrize("spoofed", ["X-Forwarded-Prefix: //evil", "X_Forwarded_Prefix: /evil", "X-Y: z"])
def test_the_part_that_was_cut_off_is_told_whatever_the_client_says(stripped, line, spoofed):
    for lines in ([line, spoofed], [spoofed, line]):
        [reply] = stripped.ask(request("/user/alice/x", *lines))
        assert reply.sent("X-Forwarded-Prefix") == ["/user/alice"]
        assert "evil" not in reply.said["head"]
