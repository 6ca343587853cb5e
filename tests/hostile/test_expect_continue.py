"""``Expect: 100-continue``: two sides that wait for each other, or lose count of what is a body."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.wire import request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
EXPECTS = ["Expect: 100-continue", "Content-Length: 57"]
#: As long as the body that is told of.
HIDDEN = b"GET /user/bob/hidden HTTP/1.1\r\nHost: hub.example\r\nA: bcd\r\n\r\n"[:57]


async def refuses(actor, reader, writer):
    """Answers each request at once, and takes what comes next on the connection for its body."""
    while True:
        head = await actor.head(reader)
        is_first = "/first" in head
        writer.write(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno" if is_first else OK)
        if length := re.search(r"\nContent-Length: (\d+)", head):
            actor.bodies.append(await reader.readexactly(int(length[1])))


async def accepts(actor, reader, writer):
    """Asks for the body, reads it, and answers."""
    while True:
        head = await actor.head(reader)
        if length := re.search(r"\nContent-Length: (\d+)", head):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            actor.bodies.append(await reader.readexactly(int(length[1])))
        writer.write(OK)


@pytest.mark.parametrize("body", [b"", HIDDEN], ids=["held back", "sent at once"])
def test_a_body_that_the_server_did_not_want_is_no_request(on_paths, body):
    """The server gets the body after all, or another connection: the next request is never taken for the body."""
    server = on_paths.play("/user/shy/", refuses)
    replies, seen = on_paths.converse(request("/user/shy/first", *EXPECTS, method="POST") + body)
    assert [reply.status for reply in replies if reply.status != 100] == [417]
    assert seen == []
    for _ in range(3):
        [reply] = on_paths.ask(request("/user/shy/next"))
        assert reply.body == b"mine"
    assert server.targets()[1:] == ["GET /user/shy/next"] * 3
    assert server.bodies in ([], [HIDDEN])


def test_a_body_that_was_asked_for_arrives_whole(on_paths):
    server = on_paths.play("/user/bold/", accepts)

    async def client():
        reader, writer = await asyncio.open_connection("127.0.0.1", on_paths.site.port)
        writer.write(request("/user/bold/", *EXPECTS, "Connection: close", method="POST"))
        first = await reader.readuntil(b"\r\n\r\n")
        writer.write(HIDDEN)
        rest = await reader.read()
        writer.close()
        return first, rest

    first, rest = on_paths.run(asyncio.wait_for(client(), 30))
    assert first.startswith(b"HTTP/1.1 100 ")
    assert rest.endswith(b"mine")
    assert server.bodies == [HIDDEN]


@pytest.mark.parametrize("value", ["100-continue, x", "x", "100-Continue"])
def test_another_expectation_is_handed_on_or_refused(on_paths, value):
    replies, seen = on_paths.converse(request("/user/alice/", f"Expect: {value}", "Connection: close"))
    assert [reply.server for reply in replies if reply.status != 100] in (["alice"], ["417"])
    assert len(seen) <= 1
