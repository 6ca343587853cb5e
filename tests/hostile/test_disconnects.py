"""A side that goes away in the middle: the other one is told, and nothing of it is left behind."""

from __future__ import annotations

import asyncio

import pytest

from tests.http2 import Http2, fields
from tests.wire import request

WEBSOCKET = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA=="]


class Endless:
    """A server whose answer has no end, and which tells when it is left."""

    def __init__(self, start: bytes, more: bytes) -> None:
        self.came, self.left = asyncio.Event(), asyncio.Event()
        self._start, self._more = start, more

    async def __call__(self, actor, reader, writer):
        await actor.head(reader)
        self.came.set()
        try:
            writer.write(self._start)
            while True:
                writer.write(self._more)
                await writer.drain()
                # A server that only writes would not notice that nobody reads.
                try:
                    async with asyncio.timeout(0.01):
                        if not await reader.read(65536):
                            break
                except TimeoutError:
                    pass
        finally:
            self.left.set()


CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SILENT = {
    "before the head": (b"", b""),
    "in the head": (b"HTTP/1.1 200 OK\r\n", b""),
    "in the body": (CHUNKS, b"4\r\nmore\r\n"),
    "in a body that has paused": (CHUNKS + b"4\r\nmore\r\n", b""),
    "on a websocket": (b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b""),
}


@pytest.mark.parametrize("how", SILENT)
def test_a_server_is_told_that_the_client_has_left(on_paths, how):
    act = Endless(*SILENT[how])
    on_paths.play("/user/endless/", act)

    async def client():
        _, writer = await asyncio.open_connection("127.0.0.1", on_paths.site.port)
        writer.write(request("/user/endless/", *(WEBSOCKET if "websocket" in how else [])))
        await act.came.wait()
        writer.close()
        await act.left.wait()

    on_paths.run(asyncio.wait_for(client(), 30))
    served(on_paths)


@pytest.mark.parametrize("how", [name for name in SILENT if "websocket" not in name])
def test_a_server_is_told_that_a_request_over_http2_was_given_up(on_paths, how):
    act = Endless(*SILENT[how])
    on_paths.play("/user/endless/", act)

    async def client():
        connection = await Http2.connected(on_paths.site.port)
        stream = connection.send(fields("GET", "/user/endless/"))
        await act.came.wait()
        connection.reset(stream)
        await act.left.wait()
        reply = await connection.reply(connection.send(fields("GET", "/user/bob/")))
        connection.close()
        return reply

    assert on_paths.run(asyncio.wait_for(client(), 30)).server == "bob"


def test_half_a_body_is_no_request(on_paths):
    """The server sees it break off, and not end."""

    ended = asyncio.Event()
    got = []

    async def act(actor, reader, writer):
        await actor.head(reader)
        got.append(await reader.read(2))
        came.set()
        try:
            got.append(await reader.read(65536))
        finally:
            ended.set()

    came = asyncio.Event()
    on_paths.play("/user/upload/", act)

    async def client():
        _, writer = await asyncio.open_connection("127.0.0.1", on_paths.site.port)
        writer.write(request("/user/upload/", "Content-Length: 9", method="POST") + b"ab")
        await came.wait()
        writer.close()
        await ended.wait()

    on_paths.run(asyncio.wait_for(client(), 30))
    assert got[:1] == [b"ab"]
    assert b"".join(got) == b"ab"
    served(on_paths)


def test_a_client_is_told_that_the_server_has_left_a_websocket(on_paths):
    async def act(actor, reader, writer):
        await actor.head(reader)
        writer.write(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbye")

    on_paths.play("/user/short/", act)
    said = on_paths.run(on_paths.tunnel(request("/user/short/", *WEBSOCKET), b""))
    assert said.endswith(b"\r\n\r\nbye")
    served(on_paths)


def served(scene):
    """Nothing is stuck, and no panic took anything along."""
    [reply] = scene.ask(request("/user/bob/"))
    assert reply.server == "bob"
