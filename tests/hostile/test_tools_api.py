"""The REST API (``KVProxy.rest_api_port``) answers whatever it is sent, and never with a fault of its own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.ports import free_port
from tests.hostile.explore import explore
from tests.hostile.scene import scene
from tests.hostile.strategies import targets, values
from tests.stores import Store
from tests.wire import Wire, request

TOKEN = "s3cret-token"
AUTHORIZED = f"Authorization: token {TOKEN}"


class API:
    """A client of the REST API of a proxy."""

    def __init__(self, play, port):
        self._play = play
        self._wire = Wire(port)

    def ask(self, raw):
        return self._play.run(self._wire.ask(raw))

    def call(self, method, path, body=b"", *headers):
        return self.ask(request(path, AUTHORIZED, f"Content-Length: {len(body)}", *headers, method=method) + body)


@pytest.fixture(scope="module", params=[False, True], ids=["paths", "hosts"])
def api(request, tmp_path_factory):
    directory, port = tmp_path_factory.mktemp("rest-api"), free_port()
    traits = {"rest_api_port": port, "rest_api_token": TOKEN, "rest_api_writes": True, "activity": True}
    store = Store("toml", {"path": str(directory / "table")})
    with scene(directory, store, {}, host_routing=request.param, **traits) as play:
        yield API(play, port)


def nested(depth, begin=b"[", end=b"]"):
    return b'{"target": "http://127.0.0.1:9", "x": ' + begin * depth + b"1" + end * depth + b"}"


@pytest.mark.parametrize("depth", [200, 500, 900, 3_000, 100_000])
@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_a_body_that_is_nested_too_deeply_is_a_bad_request(api, depth, begin, end):
    for body in (nested(depth, begin, end), begin * depth + b"1" + end * depth):
        reply = api.call("POST", "/api/routes/a.example/x", body)
        assert reply.status == 400, reply
    assert api.call("GET", "/api/routes").body == b"{}"


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00%2B10:00", "0001-01-01T00:00:00"])
def test_any_time_is_answered(api, time):
    assert api.call("GET", f"/api/routes?inactiveSince={time}").status in (200, 400)


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (["Content-Encoding: gzip", "Content-Length: 2"], b"{}"),
        (["Transfer-Encoding: chunked"], b"xyz\r\n"),
        (["Transfer-Encoding: chunked", "Content-Encoding: deflate"], b"2\r\n{}\r\n0\r\n\r\n"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_bad_request(api, lines, body):
    assert api.ask(request("/api/routes/x", AUTHORIZED, *lines, method="POST") + body).status == 400


METHODS = ["GET", "POST", "DELETE"] * 4 + ["HEAD", "PUT", "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "X-Y"]
PLACES = ["/api/routes"] * 12 + [
    "",
    "/api",
    "/api/routesx",
    "/API/ROUTES",
    "http://x:99999/api/routes",
    "http://[x/api/",
]
PATHS = ["", "", "", "/", "/a.example/x", "/localhost:80/x", "/[::1]/x", "/%ff", "/%ED%A0%80", "/%", "/a//b", "/a/../b"]
TOKENS = [
    *[AUTHORIZED] * 5,
    "X-No: token",
    "Authorization: token",
    "Authorization: Basic a",
    "Authorization: token \xff",
]
HEADERS = [
    *("Expect: 100-continue", "Expect: x", "Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: x"),
    *("Content-Type: application/json; charset=utf-7", "Content-Type: \xff", "Range: bytes=0-"),
    *("Upgrade: websocket", "Connection: Upgrade", "Connection: close", "Host: other", "Cookie: a=\xff", "X-A: \x01"),
    *("If-None-Match: *", "X-HTTP-Method-Override: DELETE", "Content-Length: 5", "Transfer-Encoding: gzip, chunked"),
]
TIMES = [
    *("9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00%2B23:59", "2020", "2020-01", "2020-W01", "2020-001", "1e9"),
    *("Thu,%2001%20Jan%201970%2000:00:00%20GMT", "-271821-04-20T00:00:00Z", "%2B275760-09-13T00:00:00.001Z", "0"),
    *("2020-02-30", "2020-01-01T24:00:00Z", "2020-01-01T24:00:01Z", "2020-01-01T00:00:60Z", "%ED%A0%80", "%00", "\xff"),
    *("Sat,%2030%20Feb%202020%2000:00:00%20%2B9999", "9" * 5000, "Jan%201%2020000", "2020-01-01T00:00:00.123456789Z"),
]
texts = st.one_of(st.sampled_from(TIMES), st.text(st.sampled_from("0123456789-+:.TZ %WGMJan,"), max_size=30))
parameters = st.builds(
    "{}={}".format,
    st.sampled_from(["inactiveSince", "inactive_since", "inactive%53ince", "inactiveSince[]", "x"]),
    texts,
)
queries = st.one_of(
    st.just(""),
    parameters.map("?{}".format),
    st.lists(parameters, max_size=4).map("&".join).map("?{}".format),
    st.sampled_from(["?", "?inactiveSince", "?inactiveSince=&inactive_since=x", "?&&==", "?%", "?a=%zz", "??", "#x"]),
).map(lambda query: query.replace(" ", "%20"))
SERVERS = ["http://[::1]:9", "http://a:99999", "http://[", "unix:/x", "//", "\ud800", 1, None, {}]
servers = st.just("http://127.0.0.1:9") | st.sampled_from(SERVERS)
fields = st.dictionaries(
    st.sampled_from(["jupyterhub", "last_activity", "host", "kvproxy_foreign", "user", "target", "\ud800"]), values
)


bodies = st.one_of(
    st.builds(lambda server, more: json.dumps({**more, "target": server}).encode(), servers, fields),
    st.builds(nested, st.integers(0, 4000)),
    values.map(json.dumps).map(str.encode),
    st.binary(max_size=50),
    st.sampled_from([b"", b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0", b"{}{}"]),
    st.sampled_from([b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"[", b'"\\ud800"']).map(
        lambda value: b'{"target": "http://127.0.0.1:9", "x": ' + value + b"}"
    ),
)


@pytest.mark.fuzz
def test_no_request_is_answered_with_a_fault(api):
    seen = set()

    @given(
        st.sampled_from(METHODS),
        st.sampled_from(PLACES),
        st.sampled_from(PATHS) | targets,
        queries,
        st.sampled_from(TOKENS),
        st.lists(st.sampled_from(HEADERS), max_size=2),
        bodies,
        st.sampled_from([*["Content-Length"] * 5, "chunked", "a bad chunk"]),
    )
    def for_all(method, place, target, query, token, headers, content, framing):
        body = content
        length = f"Content-Length: {len(body)}" if framing == "Content-Length" else "Transfer-Encoding: chunked"
        if framing != "Content-Length":
            size = b"%x" % len(body) if framing == "chunked" and body else b"xyz"
            body = size + b"\r\n" + body + b"\r\n0\r\n\r\n"
        raw = request(place + target + query, token, *headers, length, method=method) + body
        status = api.ask(raw).status
        assert 200 <= status < 500, (status, raw)
        seen.add(status)
        if status == 201:
            for asked in (f"/api/routes{query}", f"/api/routes?inactiveSince=2020&{query[1:]}"):
                reply = api.ask(request(asked, AUTHORIZED))
                assert reply.status == 400 or (reply.status, type(json.loads(reply.body))) == (200, dict), (reply, raw)
            [route] = json.loads(api.call("GET", "/api/routes").body).values()
            assert route["target"] == json.loads(content)["target"], (route, raw)
            # Otherwise the table grows.
            assert api.ask(request(place + target + query, AUTHORIZED, method="DELETE")).status == 204, raw

    explore(for_all, 300)
    assert {200, 201, 400, 403, 404, 405} <= seen
