"""The line of the kit breaks as it says."""

from __future__ import annotations

import asyncio

import pytest

from jhub_kvproxy.testing import Line, _kit, in_time, until
from servers.ports import free_port


class Echo:
    """A server that answers each line with the same, and keeps what it got."""

    def __init__(self):
        self.got = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _answer(self, reader, writer):
        while line := await reader.readline():
            self.got.append(line)
            writer.write(line)
        writer.close()


@pytest.fixture
async def echo():
    async with Echo() as echo:
        yield echo


@pytest.fixture
async def line(echo):
    async with Line(*echo.address) as line:
        yield line


class Client:
    def __init__(self, streams):
        self.reader, self.writer = streams

    def send(self, text):
        self.writer.write(text + b"\n")

    async def answer(self):
        return (await in_time(self.reader.readline(), "no answer comes")).strip()

    async def ask(self, text):
        self.send(text)
        return await self.answer()


async def connected(line):
    return Client(await asyncio.open_connection(line.host, line.port))


async def gone(client):
    with pytest.raises((OSError, AssertionError)):
        assert await client.ask(b"gone") == b"gone"


async def test_it_carries_and_counts(line):
    one, two = await connected(line), await connected(line)
    for number in range(3):
        assert await one.ask(b"%d" % number) == b"%d" % number
    assert await two.ask(b"two") == b"two"
    assert line.requests == 4
    assert line.connections == 2
    two.writer.close()
    await until(lambda: line.connections == 1, "the line does not notice that a client has gone")


async def test_it_refuses_and_takes_connections_again(line):
    client = await connected(line)
    await client.ask(b"a")
    await line.refuse()
    await gone(client)
    with pytest.raises(ConnectionRefusedError):
        await connected(line)
    await line.mend()
    assert await (await connected(line)).ask(b"b") == b"b"


async def test_it_cuts_what_there_is(line):
    client = await connected(line)
    await client.ask(b"a")
    await line.cut()
    await gone(client)
    assert await (await connected(line)).ask(b"b") == b"b"


async def test_what_is_frozen_comes_late(line, echo):
    old = await connected(line)
    await old.ask(b"a")
    line.freeze()
    new = await connected(line)
    for client in (old, new):
        client.send(b"late")
    gone_by_then = await connected(line)
    gone_by_then.writer.close()
    await until(lambda: line.connections == 2, "a frozen line does not notice that a client has gone")
    assert echo.got == [b"a\n"]
    await line.mend()
    for client in (old, new):
        assert await client.answer() == b"late"


async def test_frozen_connections_stay_so(line, echo):
    old = await connected(line)
    await old.ask(b"a")
    line.freeze_connections()
    old.send(b"never")
    assert await (await connected(line)).ask(b"b") == b"b"
    assert echo.got == [b"a\n", b"b\n"]


async def test_a_request_that_is_held_arrives_though_its_client_has_gone(line, echo):
    client = await connected(line)
    line.hold_request(2)
    await client.ask(b"a")
    client.send(b"late")
    await in_time(line.held(), "the request is not held")
    client.writer.close()
    assert await (await connected(line)).ask(b"b") == b"b"
    assert echo.got == [b"a\n", b"b\n"]
    await in_time(line.deliver(), "the server does not answer")
    assert echo.got == [b"a\n", b"b\n", b"late\n"]


async def test_a_request_that_is_held_when_the_line_is_cut_gets_lost(line, echo):
    client = await connected(line)
    line.hold_request(1)
    client.send(b"lost")
    await in_time(line.held(), "the request is not held")
    await line.cut()
    await gone(client)
    assert await (await connected(line)).ask(b"b") == b"b"
    assert echo.got == [b"b\n"]


async def test_an_answer_that_is_held(line, echo):
    client, other = await connected(line), await connected(line)
    line.hold_answer(2)
    await client.ask(b"a")
    client.send(b"b")
    await in_time(line.held(), "the answer is not held")
    assert echo.got == [b"a\n", b"b\n"]
    assert await other.ask(b"c") == b"c"
    await in_time(line.deliver(), "the answer is not delivered")
    assert await client.answer() == b"b"


async def test_a_request_that_contains_a_word_is_held(line, echo):
    client, other = await connected(line), await connected(line)
    line.hold_request(b"word")
    await client.ask(b"a")
    client.send(b"with a word")
    await in_time(line.held(), "the request is not held")
    assert await other.ask(b"another word") == b"another word"
    await line.deliver()
    assert echo.got == [b"a\n", b"another word\n", b"with a word\n"]


async def test_requests_are_late_and_answers_are_rewritten(echo):
    async with Line(*echo.address, rewrite=bytes.upper) as line:
        client = await connected(line)
        assert await client.ask(b"a") == b"A"
        line.delay = 3600
        client.send(b"late")
        await asyncio.sleep(0.1)
        line.delay = 0.0
        assert await (await connected(line)).ask(b"b") == b"B"
        assert echo.got == [b"a\n", b"b\n"]


async def test_a_server_that_is_not_there():
    async with Line("127.0.0.1", free_port()) as line:
        await gone(await connected(line))


async def test_what_is_held_is_delivered_to_a_server_that_answers_late(monkeypatch):
    """A client may send before all answers have come. The rest of what it sent follows what was held."""
    monkeypatch.setattr(_kit, "PATIENCE", 5.0)
    answers: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def answer(reader, writer):
        await reader.readuntil(b"a")
        writer.write(b"A")
        await reader.readuntil(b"b")
        answers.put_nowait(writer)
        await reader.readuntil(b"d")
        writer.write(b"CD")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, Line(*server.sockets[0].getsockname()) as line:
        client = await connected(line)
        client.writer.write(b"ab")
        assert await client.reader.readexactly(1) == b"A"
        line.hold_request(1)
        client.writer.write(b"c")
        await in_time(line.held(), "the request is held")
        (await answers.get()).write(b"B")
        assert await client.reader.readexactly(1) == b"B"
        client.writer.write(b"d")
        await in_time(line.deliver(), "what was held is delivered")
        assert await client.reader.readexactly(2) == b"CD"
        client.writer.close()
