"""Users' servers behind a proxy, and a client in front of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

_LONGEST_LINE = 65536


@asynccontextmanager
async def user_server(name: str) -> AsyncIterator[str]:
    """The URL of a running server that answers every request with its name and the request's path, as received."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"server": name, "path": request.raw_path})

    app = web.Application()
    app.router.add_route("*", "/{path:(?s:.*)}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, max_line_size=_LONGEST_LINE, max_field_size=_LONGEST_LINE)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Served:
    """An answer: its status, the server that gave it (None: no user's server), and the path which that received."""

    status: int
    server: str | None
    path: str = ""


class Client:
    """Sends requests to one port of 127.0.0.1, with the path byte for byte; keeps the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> Served:
        """Send a GET request. Raises OSError or EOFError if nothing listens, or the connection breaks."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        reader, writer = self._streams
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("latin-1"))
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = head.partition("content-length: ")[2].split("\r\n")[0]
            body = await reader.readexactly(int(length or 0))
        except BaseException:
            await self.close()
            raise
        if "connection: close" in head:
            await self.close()
        status = int(head.split()[1])
        if b'"server"' not in body:
            return Served(status, None)
        said = json.loads(body)
        return Served(status, said["server"], said["path"])

    async def server(self, path: str) -> str | None:
        """The name of the user's server that answers; None if none does."""
        return (await self.get(path)).server

    async def close(self) -> None:
        streams, self._streams = self._streams, None
        if streams:
            streams[1].close()
