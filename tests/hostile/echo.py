"""Users' servers that remember byte for byte what reached them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.wire import connections


@dataclass
class Echo:
    """A server that answers each request with what it got, and keeps it in `seen`: head and body.

    It is strict: what could be read in two ways, it calls `garbage`.
    """

    name: str
    seen: list[tuple[str, str]] = field(default_factory=list)
    garbage: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await self._body(head, reader)
                if body is None:
                    self.garbage.append(head)
                    break
                text = head.decode("latin-1")
                self.seen.append((text, body.decode("latin-1")))
                answer = json.dumps({"server": self.name, "head": text, "body": body.decode("latin-1")}).encode()
                if head.startswith(b"HEAD "):
                    answer = b""
                status = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                writer.write(status + b"Content-Length: %d\r\n\r\n" % len(answer) + answer)

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> bytes | None:
        """The body; None when two servers might disagree on where it ends."""
        if re.search(rb"[^\r]\n|\r[^\n]|\n[ \t]|\n[^:]*[ \t]:|\x00", head):
            return None
        lengths = re.findall(rb"\ncontent-length: *(.*?) *\r", head, re.IGNORECASE)
        codings = re.findall(rb"\ntransfer-encoding: *(.*?) *\r", head, re.IGNORECASE)
        if len(lengths) + len(codings) > 1 or any(coding != b"chunked" for coding in codings):
            return None
        if lengths:
            return await reader.readexactly(int(lengths[0])) if lengths[0].isdigit() else None
        body = b""
        while codings:
            size = int((await reader.readuntil(b"\r\n")).rstrip(), 16)
            body += (await reader.readexactly(size + 2))[:-2]
            if not size:
                break
        return body


@asynccontextmanager
async def echoing(name: str) -> AsyncIterator[Echo]:
    """An :class:`Echo` that runs."""
    echo = Echo(name)
    async with connections(echo.serve) as echo.port:
        yield echo
