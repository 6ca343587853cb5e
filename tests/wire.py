"""HTTP byte for byte, and what a process may be reached by."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

_PATIENCE = 30
_LISTENS = "0A"


async def exchange(port: int, request: bytes, host: str = "127.0.0.1") -> tuple[int, bytes]:
    """Status, and all that came back, until the other side closes; the request must ask for that."""
    async with asyncio.timeout(_PATIENCE):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(request)
            answer = await reader.read()
        finally:
            writer.close()
    return int(answer.split(maxsplit=2)[1]), answer


def request(method: str, target: str, host: str, *headers: str, body: bytes = b"") -> bytes:
    """A request after whose answer the connection is closed."""
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *length, *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def listening(pid: int) -> set[tuple[str, int]]:
    """The TCP addresses and ports on which the process `pid` listens (proc(5), "/proc/net/tcp")."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            sockets.add(os.readlink(link))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and f"socket:[{fields[9]}]" in sockets:
                address, port = fields[1].split(":")
                words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
                found.add((str(ip_address(b"".join(words))), int(port, 16)))
    return found
