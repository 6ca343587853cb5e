"""CONNECT: a tunnel to anywhere, and bytes behind it that a server takes for a request of somebody else."""

from __future__ import annotations

import pytest

from tests.hostile.actor import answering
from tests.http2 import fields
from tests.wire import request

HIDDEN = b"GET /user/bob/hidden HTTP/1.1\r\nHost: hub.example\r\n\r\n"
#: Traefik's own answers: no CONNECT is handed on, and what names no path has no route.
REFUSALS = (404, 501)
TARGETS = ["/user/alice/", "hub.example:80", "127.0.0.1:22", "*", "http://hub.example/user/alice/", "//user/alice/"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "lines", [[], [f"Content-Length: {len(HIDDEN)}"], ["Transfer-Encoding: chunked"]], ids=["plain", "length", "chunks"]
)
def test_connect_reaches_nobody(on_paths, target, lines):
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN) if "chunked" in "".join(lines) else HIDDEN
    raw = request(target, *lines, method="CONNECT") + (body if lines else b"")
    replies, seen = on_paths.converse(raw)
    assert [reply.status for reply in replies] in ([status] for status in REFUSALS)
    assert seen == []


def test_what_comes_behind_a_refused_connect_is_no_tunnel(on_paths):
    """Traefik closes the connection, or takes what follows for the next request, as it is."""
    replies, seen = on_paths.converse(request("/user/alice/", method="CONNECT") + HIDDEN)
    assert replies[0].status in REFUSALS
    assert [head.split(" HTTP")[0] for head, _ in seen] in ([], ["GET /user/bob/hidden"])


@pytest.mark.parametrize(
    "connect",
    [
        [(":method", "CONNECT"), (":authority", "hub.example:80")],
        [(":method", "CONNECT"), (":authority", "hub.example")],
        fields("CONNECT"),
        fields("CONNECT", "/user/alice/", (":protocol", "websocket")),
        [(":method", "CONNECT"), (":authority", "hub.example:80"), ("content-length", str(len(HIDDEN)))],
    ],
    ids=["authority", "no port", "path", "extended", "length"],
)
@pytest.mark.parametrize("body", [None, HIDDEN], ids=["no body", "body"])
def test_connect_over_http2_reaches_nobody(on_paths, connect, body):
    reply = on_paths.ask2(connect, body)
    assert reply.status in (*REFUSALS, 400, 0)
    assert on_paths.seen() == []


@pytest.mark.parametrize("end", ["", "Connection: close\r\n"])
def test_connect_leaves_no_connection_that_answers_for_others(on_paths, end):
    """A server that refuses CONNECT and keeps the connection would take the body for a request."""
    server = on_paths.play(
        "/user/strict/",
        answering(f"HTTP/1.1 405 Method Not Allowed\r\n{end}Content-Length: 2\r\n\r\nno".encode()),
    )
    lines = ["Transfer-Encoding: chunked"]
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    for raw in (
        request("/user/strict/", f"Content-Length: {len(HIDDEN)}", method="CONNECT") + HIDDEN,
        request("/user/strict/", *lines, method="CONNECT") + body,
    ):
        replies, _ = on_paths.converse(raw)
        assert [reply.status for reply in replies] in ([status] for status in REFUSALS)
    on_paths.ask2(fields("CONNECT", "/user/strict/"), HIDDEN)
    on_paths.ask(request("/user/strict/last"))
    assert server.targets() == ["GET /user/strict/last"]
