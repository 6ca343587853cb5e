"""Users' servers that play a part: what they write is what the test says, byte for byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.wire import connections

Act = Callable[["Actor", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Actor:
    """A server; `act` is called with each connection, which is closed when it returns."""

    act: Act
    #: The heads of the requests that it read, in order.
    heads: list[str] = field(default_factory=list)
    #: What else it was sent, such as the bodies, or what came behind an upgrade.
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    #: How many connections the other side has closed or reset.
    left: int = 0
    port: int = 0

    async def head(self, reader: asyncio.StreamReader) -> str:
        """The head of the next request, kept."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        return head

    async def rest(self, reader: asyncio.StreamReader) -> None:
        """Keep all that comes, until the other side leaves."""
        while chunk := await reader.read(65536):
            self.bodies.append(chunk)
        raise ConnectionResetError

    def targets(self) -> list[str]:
        """Method and target of each request, such as ``GET /user/alice/``."""
        return [head.split(" HTTP/")[0] for head in self.heads]


def answering(*answers: bytes) -> Act:
    """Write one of `answers` for each request, whatever was asked; the last of them is repeated.

    The body of a request is read if it has a length. The connection is kept, unless the answer says otherwise.
    """

    async def act(actor: Actor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await actor.head(reader)
            length = re.search(r"\ncontent-length: *(\d+)", head.lower())
            if length:
                actor.bodies.append(await reader.readexactly(int(length[1])))
            answer = answers[min(len(actor.heads), len(answers)) - 1]
            writer.write(answer)
            await writer.drain()
            if b"connection: close" in answer.lower():
                return

    return act


@asynccontextmanager
async def acting(act: Act) -> AsyncIterator[Actor]:
    """An :class:`Actor` that runs."""
    actor = Actor(act)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        actor.connections += 1
        try:
            await act(actor, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            actor.left += 1

    async with connections(serve) as actor.port:
        yield actor
