"""Our plugin hands on what Traefik by itself hands on: any request, side by side."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.chp import HOSTS, PATHS
from tests.hostile.explore import explore
from tests.hostile.scene import scene
from tests.hostile.strategies import targets
from tests.http2 import fields
from tests.stores import Store
from tests.wire import request

ROUTES = {**HOSTS, **PATHS}
#: All that can be made of a route.
OPTIONS = {"strip_prefix": ["/user/bob/", "/user/zo%C3%AB@x/"], "change_origin": ["/services/s/", "/user/bob/"]}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The plugin, and Traefik by itself, with equal routes to servers of equal names."""
    with ExitStack() as stack:
        plays = []
        for delivery in ("push", "store"):
            directory = tmp_path_factory.mktemp(delivery)
            store = Store("toml", {"path": str(directory / "table")})
            plays.append(stack.enter_context(scene(directory, store, ROUTES, delivery=delivery, **OPTIONS)))
        yield plays


def outcome(play, reply):
    """Who got the request, and how; or the status in its place."""
    if not reply.said:
        return reply.server
    # Traefik tells servers of trailers, which it drops.
    head = reply.said["head"].replace("Trailer: X-T\r\n", "")
    for name, echo in play.echoes.items():  # by change_origin, and for a host that is none
        head = head.replace(f"Host: 127.0.0.1:{echo.port}\r\n", f"Host: {name}\r\n")
    return reply.server, head.replace("Accept-Encoding: gzip\r\n", ""), reply.said["body"]


METHODS = ["GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "get", "CONNECT"]
NAMES = [
    *("Connection", "Upgrade", "HTTP2-Settings", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE"),
    *("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Real-Ip"),
    *("X-Forwarded-Port", "X-Forwarded-Server", "X_Forwarded_For", "X.Real.Ip", "Forwarded", "Via", "Expect"),
    *("Sec-WebSocket-Key", "Sec-WebSocket-Version", "sec-websocket-protocol", "Cookie", "Authorization", "X-A"),
    *("User-Agent", "Range", "If-Match", "Content-Type", "Accept-Encoding", "X-Kvproxy-Route", "X-Kvproxy-Target"),
]
VALUES = [
    *("", "a", "close", "keep-alive", "Upgrade", "upgrade, X-A", "X-Forwarded-For, x-real-ip", "Sec-WebSocket-Key"),
    *("websocket", "WebSocket", "h2c", "websocket, h2c", "tcp", "trailers", "trailers, gzip", "6.6.6.6", "https"),
    *("100-continue", "Host", "Content-Length", "\xff", "a\tb", "a, b", "13", "for=6.6.6.6", "x" * 5000, "identity"),
]
lines = st.lists(st.builds("{}: {}".format, st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=5)
hosts = st.sampled_from(
    [
        *("hub.example", "hub.example", "alice.hub.example", "BOB.hub.example.:80", "bob.hub.example", "other", "a b"),
        *("[::1]", "[::1]:80", "[alice.hub.example]", "127.0.0.1", "alice.hub.example:x", "a@b", ""),
    ]
)
queries = st.sampled_from(["", "", "?", "?a=1;b=2", "?a=%zz", "?%", "?a=\xc3\xab", "??", "?a=b&&c#d"])
#: What follows the headers: how long it is, and what it is.
bodies = st.sampled_from(
    [
        *(([], ""), ([], ""), (["Content-Length: 4"], "abcd"), (["Content-Length: 0"], "")),
        (["Transfer-Encoding: chunked"], "4\r\nabcd\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], "0\r\n\r\n"),
        (["Transfer-Encoding: chunked", "Trailer: X-T"], "4;a=b\r\nabcd\r\n0\r\nX-T: v\r\nX-Real-Ip: 6.6.6.6\r\n\r\n"),
    ]
)


@pytest.mark.fuzz
def test_any_request_is_handed_on_alike(both):
    seen = set()

    @given(st.sampled_from(METHODS), targets, queries, hosts, lines, bodies)
    def for_all(method, target, query, host, headers, body):
        raw = request(target + query, *headers, *body[0], host=host or None, method=method) + body[1].encode("latin-1")
        first, second = (outcome(play, *play.ask(raw)) for play in both)
        assert first == second, f"CORPUS {raw!r}"
        seen.add(first if isinstance(first, str) else first[0])

    explore(for_all, 1500)
    assert {"hub", "alice", "bob", "400", "501"} <= seen


@pytest.mark.fuzz
def test_any_request_over_http2_is_handed_on_alike(both):
    seen = set()
    more = st.lists(
        st.tuples(
            st.sampled_from(sorted({name.lower() for name in NAMES} | {"host"})),
            st.sampled_from([value for value in VALUES if len(value) < 100]),
        ),
        max_size=3,
    )
    known = hosts.filter(lambda host: host not in ("a b", ""))  # which Traefik by itself does not refuse there

    @given(st.sampled_from(METHODS), targets, queries, known, more, st.sampled_from([None, b"", b"abcd"]))
    def for_all(method, target, query, host, headers, body):
        asked = [(name, host if name == ":authority" else value) for name, value in fields(method, target + query)]
        first, second = (outcome(play, play.ask2([*asked, *headers], body)) for play in both)
        assert first == second, (asked, headers, body)
        seen.add(first if isinstance(first, str) else first[0])

    explore(for_all, 500)
    assert {"hub", "alice", "bob", "400"} <= seen
