"""HTTP byte for byte: what a client sends, what comes back, and connections that a test serves by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

#: How long a silent proxy is given before it is told that no more bytes will come.
_SILENCE = 0.5
_PATIENCE = 30


@dataclass(frozen=True)
class Reply:
    """What came back: the status, head and trailers as they came, and what an echo said of the request."""

    status: int
    head: str
    body: bytes
    trailers: str = ""

    @property
    def said(self) -> dict[str, str]:
        """Of the server that answered: its name, and the head and the body of the request; empty when none did."""
        return json.loads(self.body) if b'"server"' in self.body[:20] else {}

    @property
    def server(self) -> str:
        """Who got the request; without a server, the status."""
        return self.said.get("server", str(self.status))

    def sent(self, header: str) -> list[str]:
        """The values of `header` in the request that the server got, in order."""
        lines = self.said["head"].split("\r\n")[1:]
        return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].lower() == header.lower()]

    @property
    def target(self) -> str:
        """The request target that the server got."""
        return self.said["head"].split(" ")[1]


class Wire:
    """A client that sends what it is given. Its connection is kept as long as the other side keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, raw: bytes) -> Reply:
        """The reply to the one request that `raw` is."""
        for is_fresh in (self._streams is None, True):
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 23)
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await self._ask(raw)
            except (OSError, asyncio.IncompleteReadError):
                await self.close()
                if is_fresh:  # it was not the keeping that ended
                    return Reply(0, "", b"")
        raise AssertionError

    async def _ask(self, raw: bytes) -> Reply:
        assert self._streams
        reader, writer = self._streams
        writer.write(raw)
        reply = await read_reply(reader, raw.startswith(b"HEAD "))
        while reply.status < 200 and reply.status != 101:  # it tells that the answer is to come
            reply = await read_reply(reader, raw.startswith(b"HEAD "))
        if "connection: close" in reply.head.lower() or reply.status == 101:
            await self.close()
        return reply

    async def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def converse(port: int, raw: bytes) -> list[Reply]:
    """All replies to the bytes `raw`, on a connection of their own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    replies: list[Reply] = []
    try:
        writer.write(raw)
        is_over = False
        while True:
            try:
                async with asyncio.timeout(_PATIENCE if is_over else _SILENCE):
                    replies.append(await read_reply(reader, is_head=False))
            except TimeoutError:
                if is_over:
                    raise
                is_over = True
                writer.write_eof()
    except (OSError, asyncio.IncompleteReadError):
        return replies
    finally:
        writer.close()


async def exchange(port: int, raw: bytes, host: str = "127.0.0.1") -> tuple[int, bytes]:
    """Status, and all that comes back to `raw`, until the other side closes; the request must ask for that."""
    async with asyncio.timeout(_PATIENCE):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(raw)
            answer = await reader.read()
        finally:
            writer.close()
    return int(answer.split(maxsplit=2)[1]), answer


async def tunnel(port: int, raw: bytes, then: bytes) -> bytes:
    """All that comes back to `raw` and, once the head of an answer is there, `then`, until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(_PATIENCE):
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(then)
            return head + await reader.read()
    finally:
        writer.close()


async def read_reply(reader: asyncio.StreamReader, is_head: bool = False) -> Reply:
    """The next reply; `is_head` tells that it is to a HEAD request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(head.split(" ")[1])
    low = head.lower()
    if is_head or status < 200 or status in (204, 304):
        return Reply(status, head, b"")
    if "transfer-encoding: chunked" in low:
        body = b""
        while size := int(await reader.readuntil(b"\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        trailers = b""
        while (line := await reader.readuntil(b"\n")) != b"\r\n":
            trailers += line
        return Reply(status, head, body, trailers.decode("latin-1"))
    length = re.search(r"\ncontent-length: *(\d+)", low)
    return Reply(status, head, await (reader.readexactly(int(length[1])) if length else reader.read()))


def request(
    path: str, *headers: str, host: str | None = "hub.example", method: str = "GET", body: bytes = b""
) -> bytes:
    """A request, each character of it a byte."""
    lines = [f"{method} {path} HTTP/1.1", *([] if host is None else [f"Host: {host}"])]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "".join(f"{line}\r\n" for line in [*lines, *headers, ""]).encode("latin-1") + body


@asynccontextmanager
async def connections(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """The port of a server that has each connection served by `serve`, which is closed when it returns."""
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        running.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await serve(reader, writer)
        running.discard(task)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 24)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
