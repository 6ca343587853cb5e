"""Clients that fall silent in the middle of a request, and those that only look as if they did."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.http2 import Http2, ask, fields, packed
from tests.public_tls import Certificates, started_with_tls
from tests.slow_server import SlowServer, slow_server

PATH = "/user/alice/"
SHORT, LONG = 0.5, 30.0
PATIENCE = 30
PIECES = 20

POST = f"POST {PATH}upload HTTP/1.1\r\nHost: x\r\n".encode()
GET = f"GET {PATH}upload HTTP/1.1\r\nHost: x\r\n".encode()
#: What a client sends over HTTP/1.1, and what it goes on to send now and then.
UNFINISHED_HEADS = {
    "nothing": (b"", b""),
    "half a line": (b"GET /us", b""),
    "headers without end": (GET, b"X-More: x\r\n"),
    "half a second request": (GET + b"\r\n" + b"GET /us", b""),
}
UNFINISHED_BODIES = {
    "a body that stops": (POST + b"Content-Length: 100\r\n\r\nhalf", b""),
    "a body that comes too slowly": (POST + b"Content-Length: 1000\r\n\r\nhalf", b"x"),
    "chunks that stop": (POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b""),
    # CVE-2024-28869
    "a GET without the body it promises": (GET + b"Content-Length: 5\r\n\r\n", b""),
}
#: What comes instead of TLS where TLS is spoken.
NO_TLS = {
    "nothing": b"",
    "plain text": b"G",
    "half a handshake": bytes.fromhex("160301020001"),
}


@pytest.fixture
async def server() -> AsyncIterator[SlowServer]:
    async with slow_server(SHORT) as server:
        yield server


class Door:
    """Users' way in: with TLS or without."""

    def __init__(self, port: int, certificates: Certificates | None) -> None:
        self.port = port
        self._certificates = certificates
        self.scheme = "https" if certificates else "http"
        self.url = f"{self.scheme}://127.0.0.1:{port}{PATH}"

    @property
    def context(self):
        return self._certificates.trust(check_hostname=False) if self._certificates else None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context)

    async def begin_http2(self) -> Http2:
        return await Http2.connected(self.port, self.context)

    def fields(self, method: str, path: str) -> list[tuple[str, str]]:
        return fields(method, PATH + path, scheme=self.scheme)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(ssl=self.context or True)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield session


@pytest.fixture(params=["http", "https"])
def scheme(request) -> str:
    return request.param


@pytest.fixture(params=["push", "store"])
def delivery(request) -> str:
    return request.param


@pytest.fixture
async def open_door(scheme, delivery, site, server, tmp_path) -> Callable:
    """Starts a proxy with the options that it is called with, and gives the way in."""

    async def start(**options: object) -> Door:
        certificates = Certificates(tmp_path / "certificates") if scheme == "https" else None
        options["delivery"] = delivery
        proxy = await (started_with_tls(site, certificates, **options) if certificates else site.started(**options))
        await proxy.add_route(PATH, server.url, {})
        door = Door(site.port, certificates)
        # The plugin lets bodies take longer from its first request on.
        async with door.session() as session, session.get(f"{door.url}upload") as answer:
            assert answer.status == 200
        server.whole.clear()
        return door

    return start


async def what_comes_back(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: Callable[[], object] = lambda: None
) -> bytes:
    """All that the other side sends until it closes the connection; `more` is called now and then until it does."""

    async def go_on() -> None:
        while True:
            await asyncio.sleep(SHORT / 5)
            more()

    received = b""
    going_on = asyncio.create_task(go_on())
    try:
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(1 << 16):
                    received += part
    finally:
        going_on.cancel()
        writer.close()
    return received


async def answered(door: Door, cases: Mapping[str, tuple[bytes, bytes]]) -> dict[str, int]:
    """How many requests are answered of what each of `cases` sends, until all connections are closed."""

    async def answers_to(start: bytes, more: bytes) -> int:
        reader, writer = await door.connect()
        writer.write(start)
        return (await what_comes_back(reader, writer, lambda: writer.write(more))).count(b" 200 OK")

    return dict(zip(cases, await asyncio.gather(*(answers_to(*sent) for sent in cases.values())), strict=True))


async def test_who_does_not_finish_a_head_loses_the_connection(open_door, delivery):
    limits = {"header_timeout": SHORT, "timeout": LONG} if delivery == "push" else {"timeout": SHORT}
    door = await open_door(**limits)
    expected = dict.fromkeys(UNFINISHED_HEADS, 0) | {"half a second request": 1}
    assert await answered(door, UNFINISHED_HEADS) == expected


async def test_who_does_not_finish_a_body_loses_the_connection(open_door, server):
    door = await open_door(timeout=SHORT)
    assert await answered(door, UNFINISHED_BODIES) == dict.fromkeys(UNFINISHED_BODIES, 0)
    assert server.whole == [], "half a body was taken for a whole one"


async def test_who_does_not_finish_a_request_over_http2_loses_the_connection(open_door, server):
    door = await open_door(timeout=SHORT, keep_alive_timeout=SHORT)

    def nothing_more(connection: Http2) -> None:
        pass

    def a_head_without_end(connection: Http2) -> Callable[[], object]:
        stream = connection.begin_head(door.fields("GET", "upload"))
        return lambda: connection.go_on_with_head(stream, packed([("a", "b")]))

    def half_a_head(connection: Http2) -> None:
        connection.begin_head(door.fields("GET", "upload"))

    def a_body_that_stops(connection: Http2) -> None:
        connection.send(door.fields("POST", "upload"), b"half", ends=False)

    async def outcome(start: Callable) -> bytes:
        connection = await door.begin_http2()
        more = start(connection) or (lambda: None)
        return await what_comes_back(connection.reader, connection.writer, more)

    cases = nothing_more, a_head_without_end, half_a_head, a_body_that_stops
    assert not any(b"bytes" in said for said in await asyncio.gather(*map(outcome, cases)))
    assert server.whole == []


@pytest.mark.parametrize("scheme", ["https"], indirect=True)
async def test_who_begins_no_tls_loses_the_connection(open_door, delivery):
    limits = {"header_timeout": SHORT, "timeout": LONG} if delivery == "push" else {"timeout": SHORT}
    door = await open_door(**limits)

    async def outcome(start: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(start)
        return await what_comes_back(reader, writer)

    assert not any(b" 200 OK" in said for said in await asyncio.gather(*map(outcome, NO_TLS.values())))


@pytest.mark.parametrize("timeout", [LONG, 0])
async def test_a_slow_upload_comes_in_whole(open_door, server, timeout):
    # With delivery = "store" the first of them has no effect.
    door = await open_door(header_timeout=SHORT, timeout=timeout)

    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            await asyncio.sleep(0.1)
            yield b"piece"

    async def over_http1() -> bytes:
        async with door.session() as session, session.post(f"{door.url}upload", data=in_pieces()) as answer:
            return await answer.read()

    async def over_http2() -> bytes:
        connection = await door.begin_http2()
        stream = connection.send(door.fields("POST", "upload"), ends=False)
        async for piece in in_pieces():
            connection.send_body(stream, piece, ends=False)
        connection.send_body(stream, b"", ends=True)
        reply = await connection.reply(stream)
        connection.close()
        return reply.body

    assert await asyncio.gather(over_http1(), over_http2()) == [b"100 bytes"] * 2
    assert server.whole == [100, 100]


async def test_answers_may_come_late_and_take_long(open_door):
    door = await open_door(header_timeout=SHORT, timeout=SHORT)

    async def over_http1(path: str, body: bytes | None = None) -> bytes:
        async with (
            door.session() as session,
            session.request("POST" if body else "GET", door.url + path, data=body) as answer,
        ):
            return await answer.read()

    async def over_http2(path: str) -> bytes:
        return (await ask(door.port, door.fields("GET", path), context=door.context)).body

    async def over_a_websocket() -> bytes:
        async with door.session() as session, session.ws_connect(f"{door.url}ws") as websocket:
            await asyncio.sleep(3 * SHORT)
            await websocket.send_str("still there")
            message = await websocket.receive(PATIENCE)
            assert message.type is WSMsgType.TEXT
            return message.data.encode()

    late, download = b"at last", b"part part part "
    assert await asyncio.gather(
        over_http1("late"), over_http1("late", b"all of it"), over_http1("download"), over_a_websocket()
    ) == [late, late, download, b"still there"]
    assert await asyncio.gather(over_http2("late"), over_http2("download")) == [late, download]


async def test_an_idle_connection_stays_if_there_is_no_limit_for_it(open_door, server):
    """Though there is one for requests, which Go's server takes for both unless it is told."""
    door = await open_door(timeout=SHORT, keep_alive_timeout=0)
    reader, writer = await door.connect()
    for _ in range(2):
        writer.write(GET + b"\r\n")
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"0 bytes")
        await asyncio.sleep(3 * SHORT)
    writer.close()
    assert server.whole == [0, 0]
