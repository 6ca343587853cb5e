"""Requests that would become another protocol than HTTP, and with it a way past all rules."""

from __future__ import annotations

import pytest

from tests.hostile.actor import answering
from tests.wire import request

ASKS = "Connection: Upgrade"
WEBSOCKET = [ASKS, "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA=="]
SWITCHED = "HTTP/1.1 101 Switching Protocols\r\n"
HIDDEN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


def sent(scene, *lines):
    [reply] = scene.ask(request("/user/alice/", *lines))
    assert reply.server == "alice", reply
    return {name: reply.sent(name) for name in ("Upgrade", "Connection", "HTTP2-Settings")}


@pytest.mark.parametrize(
    "lines",
    [
        [ASKS, "Upgrade: h2c"],
        [ASKS, "Upgrade: H2C"],
        [f"{ASKS}, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
        [ASKS, "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
        [ASKS, "Upgrade: websocket, h2c"],
        [ASKS, "Upgrade: h2c,websocket"],
        [ASKS, "Upgrade: h2c", "Upgrade: websocket"],
        ["HTTP2-Settings: AAMAAABkAAQAAP__"],
        ["Connection: HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"],
        ["Upgrade: h2c"],
        ["Upgrade: websocket"],
    ],
    ids=" ".join,
)
def test_no_server_is_asked_for_http2(on_paths, lines):
    assert sent(on_paths, *lines) == {"Upgrade": [], "Connection": [], "HTTP2-Settings": []}


def test_only_the_first_protocol_is_asked_for(on_paths):
    seen = sent(on_paths, ASKS, "Upgrade: websocket", "Upgrade: h2c")
    assert seen == {"Upgrade": ["websocket"], "Connection": ["Upgrade"], "HTTP2-Settings": []}


def test_a_server_that_likes_http2_is_not_led_to_it(on_paths):
    """It would get whatever comes then, and nobody would compare it with the routes."""

    async def act(actor, reader, writer):
        while True:
            head = await actor.head(reader)
            if "h2c" in head.lower():
                writer.write(f"{SWITCHED}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n".encode())
                await actor.rest(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server = on_paths.play("/user/modern/", act)
    raw = request("/user/modern/", ASKS, "Upgrade: h2c", "HTTP2-Settings: AA")
    replies, seen = on_paths.converse(raw + request("/user/bob/", "Connection: close"))
    assert [reply.status for reply in replies] == [200, 200]
    assert server.targets() == ["GET /user/modern/"]
    assert not server.bodies
    assert len(seen) == 1


@pytest.mark.parametrize("protocol", ["websocket", "WebSocket", "tcp"])
def test_what_is_no_http_passes_once_both_agree(on_paths, protocol):
    """The checks above are not true because no upgrade works."""

    async def act(actor, reader, writer):
        await actor.head(reader)
        writer.write(f"{SWITCHED}Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\nhello".encode())
        actor.bodies.append(await reader.readexactly(5))
        writer.write(b"bye")
        await writer.drain()

    name = f"agreed-{protocol}"
    server = on_paths.play(f"/user/{name}/", act)
    said = on_paths.run(on_paths.tunnel(request(f"/user/{name}/", ASKS, f"Upgrade: {protocol}"), b"there"))
    assert said.startswith(SWITCHED.encode())
    assert said.endswith(b"\r\n\r\nhellobye")
    assert server.bodies == [b"there"]


def test_the_headers_of_a_websocket_are_spelled_as_servers_expect(on_paths):
    """Some compare the case. Each is there once, and none that was not sent."""
    lines = [*WEBSOCKET, "sec-websocket-protocol: v1.kernel", "SEC-WEBSOCKET-EXTENSIONS: x"]
    [reply] = on_paths.ask(request("/user/alice/", *lines))
    found = sorted(line for line in reply.said["head"].split("\r\n") if line.lower().startswith("sec-"))
    assert found == [
        "Sec-WebSocket-Extensions: x",
        "Sec-WebSocket-Key: eA==",
        "Sec-WebSocket-Protocol: v1.kernel",
        "Sec-WebSocket-Version: 13",
    ]


UPGRADE, H2C = "Connection: Upgrade\r\nUpgrade: websocket\r\n", "Connection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ([], ""),
        ([], UPGRADE),
        ([], H2C),
        ([], "Content-Length: 4\r\n"),
        ([], "Transfer-Encoding: chunked\r\n"),
        (WEBSOCKET, ""),
        (WEBSOCKET, "Upgrade: websocket\r\n"),
        (WEBSOCKET, H2C),
        (WEBSOCKET, "Connection: Upgrade\r\nUpgrade: web\x01socket\r\n"),
        ([ASKS, "Upgrade: h2c"], H2C),
        ([ASKS, "Upgrade: websocket, h2c"], H2C),
    ],
)
def test_a_server_may_not_switch_to_what_nobody_asked_for(on_paths, failure, asked, answer):
    """The client is told of an error, and what the server says next is no answer to anybody."""
    server = on_paths.play("/user/wilful/", answering(f"{SWITCHED}{answer}\r\n".encode() + HIDDEN))
    raw = request("/user/wilful/", *asked)
    replies, seen = on_paths.converse(raw + request("/user/bob/", "Connection: close"))
    assert [reply.server for reply in replies] == [str(failure[0]), "bob"]
    assert len(seen) == 1
    [again] = on_paths.ask(request("/user/wilful/"))
    assert (again.status, again.body) == failure
    assert server.connections == 2  # the first one was not kept


def test_a_websocket_that_is_refused_is_a_plain_answer(on_paths):
    """What follows it on the client's connection is a request, and is routed."""
    server = on_paths.play("/user/no/", answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
    replies, seen = on_paths.converse(request("/user/no/", *WEBSOCKET) + request("/user/bob/", "Connection: close"))
    assert [reply.status for reply in replies] == [403, 200]
    assert [head.split(" HTTP")[0] for head, _ in seen] == ["GET /user/bob/"]
    assert server.targets() == ["GET /user/no/"]
