"""A small HTTP client, so that the load costs little CPU."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


class Broken(Exception):
    """The connection ended before the answer was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str


class Connection:
    """One connection, kept until :meth:`close`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        #: Our port, by which the balancer's log identifies the connection.
        self.port = int(writer.get_extra_info("sockname")[1])

    @classmethod
    async def open(cls, port: int, host: str = "127.0.0.1", *, own_port: int = 0) -> Connection:
        """From `own_port`, or any. Raises OSError if nobody accepts the connection."""
        own = ("0.0.0.0", own_port) if own_port else None
        return cls(*await asyncio.open_connection(host, port, local_addr=own))

    @property
    def is_open(self) -> bool:
        """Whether the connection is open, as far as we know."""
        return not (self._reader.at_eof() or self._writer.is_closing())

    async def get(self, path: str, token: str = "") -> Answer:
        """An answer to who has the `token`. Raises Broken."""
        credential = f"Authorization: token {token}\r\n" if token else ""
        try:
            self._writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credential}\r\n".encode())
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            if "\r\ntransfer-encoding: chunked" in head:
                body = b""
                while size := int(await self._reader.readuntil(b"\r\n"), 16):
                    body += (await self._reader.readexactly(size + 2))[:-2]
                await self._reader.readexactly(2)
            else:
                length = head.partition("\r\ncontent-length: ")[2].split("\r\n")[0]
                body = await self._reader.readexactly(int(length or 0))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Broken(type(error).__name__) from error
        if "\r\nconnection: close" in head:
            self.close()
        return Answer(int(head.split()[1]), body.decode("latin-1").strip())

    def close(self) -> None:
        self._writer.close()


async def get(port: int, path: str, *, host: str = "127.0.0.1", token: str = "") -> Answer:
    """An answer over a connection of its own. Raises Broken or OSError."""
    connection = await Connection.open(port, host)
    try:
        return await connection.get(path, token)
    finally:
        connection.close()
