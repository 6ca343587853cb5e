"""Bytes that two servers might cut into requests in two ways: users' servers see what the client sent, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.explore import explore
from tests.hostile.framing import requests_in
from tests.wire import request

#: The request that nobody sent as one.
HIDDEN = b"GET /user/bob/hidden HTTP/1.1\r\nHost: hub.example\r\n\r\n"
LAST = b"GET /user/alice/last HTTP/1.1\r\nHost: hub.example\r\nConnection: close\r\n\r\n"

FRAMINGS = [
    *("Content-Length: 0", "Content-Length: 4", f"Content-Length: {len(HIDDEN)}", "Content-Length: 100000"),
    *("Content-Length: +4", "Content-Length: 0x4", "Content-Length: 4, 4", "Content-Length: 4,5", "Content-Length: -1"),
    *("Content-Length:", "Content-Length : 4", "Content-Length\t: 4", " Content-Length: 4", "Content-Length: 4 4"),
    *("content-length: 04", "Content-Length: 9999999999999999999999", "Content_Length: 4", "Content-Length\x00: 4"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: Chunked", "Transfer-Encoding:chunked"),
    *("Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, identity"),
    *("Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding: \x0bchunked"),
    *("Transfer-Encoding:\r\n chunked", "X: y\r\n\tTransfer-Encoding: chunked", "Transfer_Encoding: chunked"),
    *('Transfer-Encoding: "chunked"', "Transfer-Encoding: chunked\r", "X: y\rTransfer-Encoding: chunked"),
    *("X: y\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding"),
    *("Connection: Transfer-Encoding", "Connection: Content-Length", "Connection: close, Content-Length"),
    *("Connection: keep-alive", "Upgrade: websocket\r\nConnection: Upgrade", "Expect: 100-continue"),
    *("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "TE: trailers"),
    *("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: eA==",),
]
BODIES = [
    b"",
    HIDDEN,
    b"0\r\n\r\n" + HIDDEN,
    b"0\r\n\r\nX" + HIDDEN,
    b"4\r\nabcd\r\n0\r\n\r\n" + HIDDEN,
    b"4;ext=\r\nabcd\r\n0\r\n\r\n",
    b'4;a="\r\n0\r\n\r\n"' + HIDDEN,
    b"4;\nabcd\r\n0\r\n\r\n" + HIDDEN,
    b"4\nabcd\n0\n\n" + HIDDEN,
    b"4 \r\nabcd\r\n0\r\n\r\n",
    b"04\r\nabcd\r\n000\r\n\r\n",
    b"0x4\r\nabcd\r\n0\r\n\r\n" + HIDDEN,
    b"-1\r\n\r\n" + HIDDEN,
    b"10000000000000004\r\nabcd\r\n0\r\n\r\n" + HIDDEN,
    b"4\r\nabcdXX0\r\n\r\n" + HIDDEN,
    b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n" + HIDDEN,
    b"0\r\nX: y\r\nHost: evil\r\nAuthorization: z\r\n\r\n",
    b"0\r\n X\r\n\r\n" + HIDDEN,
]
STARTS = [
    *("POST /user/alice/ HTTP/1.1", "GET /user/alice/ HTTP/1.1", "POST /user/alice/ HTTP/1.0", "PUT /hub/x HTTP/1.1"),
    *(
        "OPTIONS /user/alice/ HTTP/1.1",
        "DELETE /user/alice/ HTTP/1.1",
        "TRACE /user/alice/ HTTP/1.1",
        "QUERY / HTTP/1.1",
    ),
    *("GET  /user/alice/ HTTP/1.1", "GET /user/alice/ HTTP/1.1 ", "GET /user/alice/ HTTP/2.0", "GET /user/alice/"),
    *(
        "GET /user/alice/ HTTP/1.2",
        "GET /user/alice/ http/1.1",
        "G\x00T / HTTP/1.1",
        " GET / HTTP/1.1",
        "\rGET / HTTP/1.1",
    ),
    *("\r\nGET /user/alice/ HTTP/1.1", "get /user/alice/ HTTP/1.1", "PRI * HTTP/2.0", "GET\t/user/alice/\tHTTP/1.1"),
]


def check(scene, raw):
    """What the servers saw is what a reading of the standard finds, as far as it was taken."""
    _, seen = scene.converse(raw)
    found = []
    for head, body in seen:
        method, target, _ = head.split("\r\n")[0].split(" ")
        found.append((method, target, body.encode("latin-1")))
    sent = requests_in(raw)
    # Not one after another: they are on several servers.
    for one in found:
        assert one in sent, f"CORPUS {raw!r}: a server saw {one}, the client sent {sent}"
        sent.remove(one)
    return found


def message(start, headers, body, end="\r\n"):
    lines = [start, "Host: hub.example", *headers]
    return (end.join(lines) + end * 2).encode("latin-1") + body


PAIRS = [
    (["Content-Length: 4", "Transfer-Encoding: chunked"], b"0\r\n\r\n" + HIDDEN),
    (["Transfer-Encoding: chunked", f"Content-Length: {5 + len(HIDDEN)}"], b"0\r\n\r\n" + HIDDEN),
    (["Content-Length: 0", f"Content-Length: {len(HIDDEN)}"], HIDDEN),
    ([f"Content-Length: {len(HIDDEN)}", "Content-Length: 0"], HIDDEN),
    (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], b"0\r\n\r\n" + HIDDEN),
    (["Transfer-Encoding: identity", "Content-Length: 0"], HIDDEN),
    (["Transfer-Encoding:\r\n chunked", "Content-Length: 4"], b"0\r\n\r\n" + HIDDEN),
    (["Transfer-Encoding : chunked", "Content-Length: 4"], b"0\r\n\r\n" + HIDDEN),
    (["X: y\r\n Transfer-Encoding: chunked"], b"0\r\n\r\n" + HIDDEN),
    (["Connection: Content-Length", f"Content-Length: {len(HIDDEN)}"], HIDDEN),
    (
        ["Connection: Transfer-Encoding", "Transfer-Encoding: chunked"],
        b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
    ),
]


@pytest.mark.parametrize(("headers", "body"), PAIRS, ids=range(len(PAIRS)))
@pytest.mark.parametrize("end", ["\r\n", "\n"], ids=["crlf", "lf"])
def test_one_request_is_not_two(on_paths, headers, body, end):
    check(on_paths, message(STARTS[0], headers, body, end) + LAST)


def test_plain_requests_in_a_row_all_arrive(on_paths):
    """The check above is not true because nothing arrives."""
    chunked = b"4;ext=1\r\nabcd\r\n0\r\n\r\n"
    raw = message(STARTS[0], ["Content-Length: 4"], b"abcd") + message(
        STARTS[0], ["Transfer-Encoding: chunked"], chunked
    )
    found = check(on_paths, raw + HIDDEN + LAST)
    assert sorted(found) == [
        ("GET", "/user/alice/last", b""),
        ("GET", "/user/bob/hidden", b""),
        ("POST", "/user/alice/", b"abcd"),
        ("POST", "/user/alice/", b"abcd"),
    ]


@pytest.mark.parametrize("order", [1, -1], ids=["length first", "chunks first"])
@pytest.mark.parametrize("length", [0, 4, 5 + len(HIDDEN)])
def test_a_length_beside_chunks_counts_for_nothing(on_paths, order, length):
    """Go throws it away before anybody sees it. It should close the connection too (go#80942)."""
    both = [f"Content-Length: {length}", "Transfer-Encoding: chunked"][::order]
    replies, seen = on_paths.converse(message(STARTS[0], both, b"0\r\n\r\n") + HIDDEN + LAST)
    assert [reply.server for reply in replies] in (["alice"], ["alice", "bob", "alice"])
    assert replies[0].sent("Transfer-Encoding") == ["chunked"]
    assert [body for _, body in seen] == [""] * len(replies)


@pytest.mark.fuzz
def test_any_framing_is_read_in_one_way(on_paths):
    seen = 0

    @given(
        st.sampled_from(STARTS[:2]) | st.sampled_from(STARTS),
        st.lists(st.sampled_from(FRAMINGS), max_size=3),
        st.sampled_from(BODIES),
        st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r"]),
    )
    def for_all(start, headers, body, end):
        nonlocal seen
        seen += len(check(on_paths, message(start, headers, body, end) + LAST))

    explore(for_all, 500)
    assert seen > 100


@pytest.mark.parametrize(
    "head",
    [
        "Sec-WebSocket-Version: 777",
        "Sec-WebSocket-Version: 13\r\nContent-Length: 60",
        "Sec-WebSocket-Version: 13\r\nTransfer-Encoding: chunked",
        "",
    ],
)
@pytest.mark.parametrize("protocol", ["websocket", "h2c", "WebSocket, x", "TLS/1.0"])
def test_an_upgrade_that_the_server_did_not_make_is_none(on_paths, protocol, head):
    """Otherwise what follows would reach the server as bytes, past all rules; ours here never upgrades."""
    lines = ["Connection: Upgrade", f"Upgrade: {protocol}", "Sec-WebSocket-Key: eA==", *([head] if head else [])]
    check(on_paths, request("/user/alice/", *lines) + HIDDEN + LAST)


@pytest.mark.parametrize("size", [1, 1000])
def test_a_body_that_is_mostly_extensions_is_refused(on_paths, size):
    """A little body would cost Traefik much to read; nobody gets it."""
    chunk = b"%x;%s\r\n%s\r\n" % (size, b"a" * 3000, b"x" * size)
    raw = message(STARTS[0], ["Transfer-Encoding: chunked"], chunk * (2000 // size) + b"0\r\n\r\n")
    replies, seen = on_paths.converse(raw)
    is_refused = size == 1
    assert (any(reply.said for reply in replies), bool(seen)) == (not is_refused, not is_refused)
    assert all(b"aaa" not in body.encode() for _, body in seen)


def test_too_much_is_refused_and_the_rest_goes_on(on_paths):
    huge = "x" * (1 << 21)
    cases = [
        request("/user/alice/" + huge),
        request("/user/alice/?" + huge),
        request("/user/alice/", f"X-A: {huge}"),
        request("/user/alice/", *(f"X-{number}: {huge[:1000]}" for number in range(2000))),
        request("/user/alice/", f"Cookie: {huge}"),
        request("/user/alice/", host=huge),
    ]
    for raw in cases:
        [reply] = on_paths.ask(raw)
        assert reply.server in ("431", "0"), reply.server
        [after] = on_paths.ask(request("/user/alice/"))
        assert after.server == "alice"
    [reply] = on_paths.ask(request("/user/alice/", f"X-A: {huge[: 900 * 1024]}"))
    assert reply.server == "alice"
