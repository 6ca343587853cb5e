"""Routes are pure: what they promise holds for any text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy import RouteRejected
from jhub_kvproxy.routing.routes import Pattern, Route
from jhub_kvproxy.traefik_routers.rules import pattern_rule, priority_at_top
from tests.strategies import NAMES, data, encodings, hosts, jupyterhub_escape, paths, routespec, segments

TARGET = "http://127.0.0.1:8888"


@given(hosts, paths)
def test_parse_inverts_escaping(host, path):
    assert Pattern.parse(routespec(host, path)) == Pattern(host, path)


@given(segments.flatmap(lambda text: st.tuples(st.just(text), encodings(text))))
def test_every_encoding_is_the_same_route(pair):
    text, encoded = pair
    assert Pattern.parse(f"/user/{encoded}/").name == Pattern.parse(f"/user/{jupyterhub_escape(text)}/").name


@given(st.lists(st.tuples(hosts, paths), unique=True, min_size=2))
def test_names_never_collide(patterns):
    names = {Pattern(*pattern).name for pattern in patterns}
    assert len(names) == len(patterns)


def test_names_of_long_and_similar_routes_never_collide():
    paths = [("user", name) for name in NAMES] + [
        ("user", "x" * 4095),
        ("user.alice",),
        ("h", "alice"),
        ("user", "", "a"),
    ]
    assert len({Pattern(None, path).name for path in paths}) == len(paths)


@given(hosts, paths)
def test_names_are_safe_in_any_store(host, path):
    assert re.fullmatch(r"[a-z0-9._-]{1,140}", Pattern(host, path).name)


def test_a_short_name_can_be_read():
    assert Pattern.parse("/user/alice/").name == "p.user.alice"


@given(hosts, paths)
def test_rules_are_printable_ascii(host, path):
    rule = pattern_rule(Pattern(host, path))
    assert rule.isascii()
    assert rule.isprintable()


@given(hosts, paths, segments)
def test_longer_routes_come_first(host, path, more):
    assert priority_at_top(Pattern(host, (*path, more))) > priority_at_top(Pattern(host, path))
    assert priority_at_top(Pattern("a.example.com", path)) > priority_at_top(Pattern(None, (*path, more)))


@pytest.mark.parametrize(
    ("spelled", "same"),
    [
        ("/user/a", "/user/a/"),
        ("/user/%61/", "/user/a/"),
        ("/user/a%20b/", "/user/a b/"),
        ("/user/100%/", "/user/100%25/"),
        ("Example.COM/x/", "example.com/x/"),
        ("example.com./x/", "example.com/x/"),
        ("example.com:8000/x/", "example.com/x/"),
        ("-DASH-.example.com/x/", "-dash-.example.com/x/"),
        ("-/x/", "-:80/x/"),
        ("[::1]:8000/x/", "[0:0::1]/x/"),
        ("::1/x/", "[::1]/x/"),
        ("bücher.example/x/", "xn--bcher-kva.example/x/"),
    ],
)
def test_spellings_of_one_route(spelled, same):
    assert Pattern.parse(spelled) == Pattern.parse(same)


@pytest.mark.parametrize(
    ("routespec", "why"),
    [
        ("no-slash", "no '/'"),
        ("/user/../", "'..'"),
        ("/user/%2e%2E/x/", "'..'"),
        ("/./", "'.'"),
        ("/a//", "empty segment"),
        ("//", "empty segment"),
        ("/user/%FF/", "not UTF-8"),
        ("/user/%EF%BF%BD/", "U+FFFD"),
        ("/user/\ud800/", "not UTF-8"),
        ("*/x/", "not a host name"),
        ("*.example.com/x/", "not a host name"),
        ('a"b.com/x/', "not a host name"),
        ("a`) || Path(`b/x/", "not a host name"),
        ("example.com:port/x/", "not a port"),
        ("example.com:8000x/x/", "not a port"),
        ("[::1/x/", "closing bracket"),
        ("[nonsense::g]/x/", "not an IPv6 address"),
        ("a b.com/x/", "not a host name"),
        ("./x/", "not a host name"),
        ("a./../x/", "'..'"),
        ("a../x/", "not a host name"),
        ("user!.example.com/x/", "JupyterHub.subdomain_hook"),
        (f"{'x' * 250}.com/x/", "has 254 characters, and host names have 253 at most"),
    ],
)
def test_what_cannot_be_reached_is_refused(routespec, why):
    with pytest.raises(RouteRejected, match=re.escape(why)):
        Route(routespec, TARGET, {})


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("http+unix://%2Ftmp%2Fsock", "unix sockets"),
        ("unix:///tmp/sock", "unix sockets"),
        ("ftp://host/", "http:// or https://"),
        ("127.0.0.1:8888", "http:// or https://"),
        ("http://", "names no host"),
        ("http://:8888", "names no host"),
        ("http://user:hunter2@host:1", "credentials"),
        ("http://host:99999", "not a valid URL"),
        ("http://host:port", "not a valid URL"),
        ("http://[::1", "not a valid URL"),
        ("http://[fe80::1%eth0]:80", "host name or address"),
        ("http://[::1]x:80/", ""),
        ("http://[v1.a]:80/", "host name or address"),
        ("http://a%41b:1/", "host name or address"),
        ("http://host/%", "two hexadecimal digits"),
        ("http://host/%zz/", "two hexadecimal digits"),
        ("http://host/?a=b", "query"),
        ("http://host/#a", "fragment"),
        ("http://host/a b", "percent-encoded"),
        ("http://host/\n", "percent-encoded"),
        ("http://hôst/", "percent-encoded"),
        ("http://host/{{ env `HOME` }}", "percent-encoded"),
        (None, "must be a URL"),
    ],
)
def test_targets_that_traefik_cannot_serve_are_refused(target, why):
    with pytest.raises(RouteRejected, match=re.escape(why)) as refused:
        Route("/user/a/", target, {})
    assert "hunter2" not in str(refused.value)


@given(data)
def test_records_keep_data_as_it_is(data):
    route = Route.from_record(Route("/user/a%20b/", TARGET, data).to_record())
    assert repr(route.data) == repr(data)
    assert (route.routespec, route.target) == ("/user/a%20b/", TARGET)


@pytest.mark.parametrize(
    "data",
    [
        None,
        ["list"],
        {1: "a number as key"},
        {"a": (1, 2)},
        {"a": {1, 2}},
        {"a": b"bytes"},
        {"a": float("nan")},
        {"a": object()},
    ],
)
def test_data_that_would_change_is_refused(data):
    with pytest.raises(RouteRejected, match="data"):
        Route("/user/a/", TARGET, data)


def test_data_may_be_deep_and_too_deep_is_refused():
    def nested(depth):
        value = {}
        for _ in range(depth):
            value = {"a": [value]}
        return value

    assert Route.from_record(Route("/a/", TARGET, nested(49)).to_record()).data == nested(49)
    for depth in (50, 200, 300, 400, 100_000):
        with pytest.raises(
            RouteRejected, match=r"^Cannot route '/a/': its data is nested more than 100 levels deep\.$"
        ):
            Route("/a/", TARGET, nested(depth))


def test_data_that_holds_itself_is_refused():
    data = {}
    data["a"] = [data]
    with pytest.raises(RouteRejected, match="nested more than 100 levels deep"):
        Route("/a/", TARGET, data)


@pytest.mark.parametrize(
    "record", ["", "{}", "[]", "null", '{"routespec": 1, "target": 2, "data": 3}', '{"routespec":"/a/"}']
)
def test_a_damaged_record_is_named_as_such(record):
    with pytest.raises(RouteRejected):
        Route.from_record(record)
