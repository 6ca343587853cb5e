"""Real servers that stand in for users' servers: each tells its name and what it was asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from tests.wire import read_reply


@asynccontextmanager
async def serving(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
    context: ssl.SSLContext | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[str]:
    """The URL of a server that has each request answered by `answer`; with a TLS `context`, by https."""
    app = web.Application()
    app.router.add_route("*", "/{path:(?s:.*)}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, max_line_size=65536, max_field_size=65536)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=context).start()
        yield f"http{'s' if context else ''}://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def user_server(name: str) -> AsyncIterator[str]:
    """The URL of a running server that answers every path with its name, the raw path and the headers.

    ``/.../ws`` echoes websocket messages, each with the server's name before it; ``/.../stream`` sends
    its name every 10 ms; ``/.../upload`` answers the size of the body once it has all of it.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/ws"):
            return await _echo(request)
        if request.path.endswith("/stream"):
            return await _stream(request)
        if request.path.endswith("/upload"):
            size = 0
            async for chunk in request.content.iter_any():
                size += len(chunk)
            return web.json_response({"server": name, "size": size})
        return web.json_response({"server": name, "path": request.raw_path, "headers": dict(request.headers)})

    async def _echo(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_str(f"{name}: {message.data}")
        return websocket

    async def _stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(name.encode() + b"\n")
            await asyncio.sleep(0.01)

    async with serving(answer) as url:
        yield url


class Client:
    """Sends requests byte for byte as they are written here: no library normalises the path."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, host: str = "127.0.0.1", headers: str = "") -> tuple[int, dict | None]:
        """Status, and what the user server said when it was one that answered. The connection is kept."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode("latin-1"))
        reply = await read_reply(reader)
        if "connection: close" in reply.head.lower():
            await self.close()
        return reply.status, reply.said or None

    async def server(self, path: str, host: str = "127.0.0.1") -> str | None:
        """The name of the user server that answers; None when none does."""
        _, said = await self.get(path, host)
        return said["server"] if said else None

    async def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None
