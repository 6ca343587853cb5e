"""A user's server that takes its time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.servers import serving


@dataclass
class SlowServer:
    """The last segment of a path says what it does; its pauses are longer than `pause`, in seconds."""

    pause: float
    url: str = ""
    connections: set[asyncio.BaseTransport] = field(default_factory=set)
    #: How large the uploads were that came in whole.
    whole: list[int] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport
        self.connections.add(request.transport)
        answer: web.StreamResponse = await getattr(self, request.path.rpartition("/")[2])(request)
        return answer

    async def upload(self, request: web.Request) -> web.Response:
        size = len(await request.read())
        self.whole.append(size)
        return web.Response(text=f"{size} bytes")

    async def late(self, request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(3 * self.pause)
        return web.Response(text="at last")

    async def never(self, request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def download(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3):
            await asyncio.sleep(2 * self.pause)
            await response.write(b"part ")
        return response

    async def ws(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await asyncio.sleep(3 * self.pause)
                await websocket.send_str(message.data)
        return websocket


@asynccontextmanager
async def slow_server(pause: float, context: ssl.SSLContext | None = None) -> AsyncIterator[SlowServer]:
    server = SlowServer(pause)
    async with serving(server.answer, context) as server.url:
        yield server
