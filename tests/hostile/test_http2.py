"""Requests over HTTP/2 that would be two over HTTP/1.1, which servers are spoken to in; and floods of frames."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.hostile.actor import answering
from tests.http2 import REFUSED, Http2, fields, packed
from tests.wire import request

INJECTED = "X-Injected: 1"
HIDDEN = "GET /user/bob/hidden HTTP/1.1\r\nHost: hub.example\r\n\r\n"


def changed(**pseudo):
    """The fields of a request, with some of the pseudo fields in another way; None leaves one out."""
    return [(name, value) for key, old in fields() if (value := pseudo.get(key[1:], old)) is not None for name in [key]]


#: No request that a server may see.
MALFORMED = {
    "line end in the path": changed(path=f"/user/alice/ HTTP/1.1\r\n{INJECTED}"),
    "request in the path": changed(path=f"/user/alice/ HTTP/1.1\r\nHost: x\r\n\r\n{HIDDEN}"),
    "NUL in the path": changed(path="/user/alice/\x00"),
    "no path": changed(path=None),
    "empty path": changed(path=""),
    "path without slash": changed(path="user/alice/"),
    "request in the method": changed(method=f"GET /user/alice/ HTTP/1.1\r\nHost: x\r\n\r\n{HIDDEN}GET"),
    "space in the method": changed(method="GET /user/bob/"),
    "empty method": changed(method=""),
    "no method": changed(method=None),
    "line end in the authority": changed(authority=f"hub.example\r\n{INJECTED}"),
    "user in the authority": changed(authority="a@hub.example"),
    "another scheme": changed(scheme="ftp"),
    "line end in the scheme": changed(scheme=f"http\r\n{INJECTED}"),
    "no scheme": changed(scheme=None),
    "two paths": fields("GET", "/user/alice/", (":path", "/user/bob/")),
    "two authorities": fields("GET", "/user/alice/", (":authority", "evil")),
    "pseudo field behind a field": [("x-a", "b"), *fields()],
    "unknown pseudo field": fields("GET", "/user/alice/", (":protocol", "websocket")),
    "status": fields("GET", "/user/alice/", (":status", "200")),
    "line end in a value": fields("GET", "/user/alice/", ("x-a", f"b\r\n{INJECTED}")),
    "line feed in a value": fields("GET", "/user/alice/", ("x-a", f"b\n{INJECTED}")),
    "NUL in a value": fields("GET", "/user/alice/", ("x-a", "b\x00")),
    "line end in a name": fields("GET", "/user/alice/", (f"x-a: b\r\n{INJECTED.lower()}", "")),
    "colon in a name": fields("GET", "/user/alice/", ("x-a:b", "c")),
    "space in a name": fields("GET", "/user/alice/", ("content-length ", "5")),
    "upper case": fields("GET", "/user/alice/", ("X-A", "b")),
    "no name": fields("GET", "/user/alice/", ("", "b")),
    "transfer-encoding": fields("POST", "/user/alice/", ("transfer-encoding", "chunked")),
    "connection": fields("GET", "/user/alice/", ("connection", "close")),
    "connection names one of ours": fields("GET", "/user/alice/", ("connection", "x-forwarded-for")),
    "keep-alive": fields("GET", "/user/alice/", ("keep-alive", "5")),
    "proxy-connection": fields("GET", "/user/alice/", ("proxy-connection", "keep-alive")),
    "upgrade to h2c": fields("GET", "/user/alice/", ("upgrade", "h2c")),
    "upgrade to websocket": fields("GET", "/user/alice/", ("upgrade", "websocket"), ("connection", "Upgrade")),
    "te": fields("GET", "/user/alice/", ("te", "chunked")),
    "dots": changed(path="/user/alice/../bob/"),
    "a fragment": changed(path="/user/alice/#/../bob/"),
    "cut off escape": changed(path="/user/alice/%2"),
}


@pytest.mark.parametrize("malformed", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("body", [None, HIDDEN.encode()], ids=["no body", "body"])
def test_a_malformed_request_reaches_nobody(on_paths, malformed, body):
    reply = on_paths.ask2(malformed, body)
    assert (reply.status, on_paths.seen()) in ([(status, []) for status in (0, 400, 404, 500, 502)])


#: What the server gets: target and host.
ODD = {
    "absolute form": (changed(path="http://other/user/alice/"), "/user/alice/", "hub.example"),
    "a host beside the authority": (fields("GET", "/user/alice/", ("host", "evil")), "/user/alice/", "hub.example"),
    "a space in the path": (changed(path="/user/alice/ x"), "/user/alice/%20x", "hub.example"),
    "no authority, but a host": ([*changed(authority=None), ("host", "hub.example")], "/user/alice/", "hub.example"),
    "https without TLS": (changed(scheme="https"), "/user/alice/", "hub.example"),
    "http2-settings": (fields("GET", "/user/alice/", ("http2-settings", "AA")), "/user/alice/", "hub.example"),
}


@pytest.mark.parametrize(("odd", "target", "host"), ODD.values(), ids=ODD)
def test_an_odd_request_is_one_request(on_paths, odd, target, host):
    reply = on_paths.ask2(odd)
    assert reply.server == "alice"
    assert (reply.target, len(on_paths.seen())) == (target, 1)
    assert reply.sent("Host") == [host]
    assert reply.sent("HTTP2-Settings") == []


NO_HOSTS = ["a b", "x/user/b", "../x", "hub.example/user/bob/", "hub.example:a b", " hub.example", "a\\b", "\xeb", ""]


@pytest.mark.parametrize("host", [*NO_HOSTS, None])
@pytest.mark.parametrize("field", [":authority", "host"])
def test_a_host_that_is_none_is_refused_as_over_http1(on_paths, delivery, field, host):
    """Go checks it over HTTP/1.1 only. Without our plugin nobody does, and the server gets none, or its own."""
    reply = on_paths.ask2([*changed(authority=None), *([] if host is None else [(field, host)])])
    if delivery == "push":
        assert (reply.server, on_paths.seen()) == ("400", [])
        [over_http1] = on_paths.ask(request("/user/alice/", host=host or None))
        # There, a space before a value is no part of it.
        assert over_http1.server == ("alice" if host == " hub.example" else "400")
    else:
        assert reply.server == "alice"
        assert not {"hub.example", host} & {*reply.sent("Host")} - {""}


@pytest.mark.parametrize(
    "lengths",
    [["0"], ["1"], [str(len(HIDDEN) - 1)], [str(len(HIDDEN) + 1)], ["1000"], ["0", str(len(HIDDEN))], ["+1"], ["0x34"]],
    ids=", ".join,
)
def test_a_body_of_another_length_than_was_told_is_no_request(on_paths, lengths):
    """What is too much would be the next request on the server's connection, what is missing would be taken from it."""
    complete = []

    async def act(actor, reader, writer):
        while True:
            length = re.search(r"\nContent-Length: (\d+)", await actor.head(reader))
            complete.append(await reader.readexactly(int(length[1])) if length else b"")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine")

    server = on_paths.play("/user/counts/", act)
    told = [("content-length", length) for length in lengths]
    reply = on_paths.ask2(fields("POST", "/user/counts/", *told), HIDDEN.encode())
    assert reply.status in (0, 400, 500, 502, 503)
    replies = on_paths.ask(*[request("/user/counts/next")] * 3)
    assert [reply.body for reply in replies] == [b"mine"] * 3
    assert set(server.targets()) <= {"POST /user/counts/", "GET /user/counts/next"}
    assert set(complete) == {b""}


def test_a_body_without_a_length_arrives_as_one(on_paths):
    reply = on_paths.ask2(fields("POST"), HIDDEN.encode())
    assert (reply.said["body"], len(on_paths.seen())) == (HIDDEN, 1)


def test_requests_that_are_given_up_at_once_do_not_stop_others(on_paths):
    """Rapid reset."""

    async def client():
        connection = await Http2.connected(on_paths.site.port)
        for _ in range(2000):
            connection.reset(connection.send(fields()))
        connection.close()

    on_paths.run(client())
    assert on_paths.ask2(fields("GET", "/user/bob/")).server == "bob"


def test_settings_that_keep_changing_crash_nothing(on_paths):
    """Traefik would write fields by a table of one size while it makes it another."""
    lines = "".join(f"X-{number}: {number}\r\n" for number in range(300))
    on_paths.play("/user/wordy/", answering(f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n".encode()))

    async def client():
        connection = await Http2.connected(on_paths.site.port)
        for _ in range(20):
            streams = []
            for number in range(300):
                connection.resize(number % 2 * 4096)
                if number % 30 == 0:
                    streams.append(connection.send(fields("GET", "/user/wordy/")))
            for stream in streams:
                assert await connection.reply(stream) is not REFUSED
        connection.close()

    async def clients():
        await asyncio.gather(*(client() for _ in range(6)))

    on_paths.run(clients())
    assert on_paths.ask2(fields("GET", "/user/bob/")).server == "bob"


def test_fields_without_end_are_not_read_for_ever(on_paths):
    """Traefik closes the connection, or refuses the request, before 64 MB have come."""
    block = packed([("x-a", "b" * 15_000)])

    async def client():
        connection = await Http2.connected(on_paths.site.port)
        stream = connection.begin_head(fields())
        for _ in range(4000):
            connection.go_on_with_head(stream, block)
        reply = await connection.reply(stream)
        connection.close()
        return reply

    reply = on_paths.run(asyncio.wait_for(client(), 60))
    assert reply.status in (0, 431)
    assert on_paths.ask2(fields("GET", "/user/bob/")).server == "bob"


@pytest.mark.parametrize(
    "huge",
    [
        changed(path="/user/alice/" + "x" * (2 << 20)),
        fields("GET", "/user/alice/", ("x-a", "b" * (2 << 20))),
        fields("GET", "/user/alice/", *[(f"x-{number}", "b" * 400) for number in range(3000)]),
        fields("GET", "/user/alice/", *[("cookie", "a=b")] * 30_000),
        fields("GET", "/user/alice/", ("trailer", ",".join(f"a{number}" for number in range(40_000)))),
    ],
    ids=["path", "one field", "many fields", "cookies", "trailers"],
)
def test_too_much_is_refused(on_paths, huge):
    reply = on_paths.ask2(huge)
    assert reply.status in (0, 400, 414, 431)
    assert on_paths.seen() == []
    assert on_paths.ask2(fields("GET", "/user/bob/")).server == "bob"
