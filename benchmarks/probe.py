"""Asks a proxy who answers a path, until the answer is the wanted one.

The origin answers each request with the name of the address that it came to (:mod:`.nginx`), so an answer
tells which target a proxy chose.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

# Seconds until the next question, or a hundredth of the time so far if that is more: a proxy with little to
# do is watched closely, and a busy one is spared.
_SHORTEST, _SHARE = 0.001, 0.01
_PIPELINED = 50
_ANSWER_TIMEOUT = 30.0


class Probe:
    """One kept connection to a proxy on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Probe:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._writer:
            self._writer.close()
        self._reader = self._writer = None

    async def who(self, paths: Sequence[str]) -> list[str]:
        """The names of who answers each of `paths`, asked for one after the other; "" for an error, or nobody."""
        names: list[str] = []
        for start in range(0, len(paths), _PIPELINED):
            names += await self._who(paths[start : start + _PIPELINED])
        return names

    async def until(self, wanted: dict[str, str], timeout: float) -> dict[str, float]:
        """When each path was first seen to be answered by the one that is wanted (monotonic clock).

        Asks for those that stood first, first. Raises TimeoutError after `timeout` seconds.
        """
        started = time.monotonic()
        seen: dict[str, float] = {}
        missing = list(wanted)
        while missing:
            part = missing[:_PIPELINED]
            names = await self.who(part)
            now = time.monotonic()
            reached = {path for path, name in zip(part, names, strict=True) if name == wanted[path]}
            seen.update(dict.fromkeys(reached, now))
            missing = [path for path in missing if path not in reached]
            if missing and len(reached) < len(part):
                if now - started > timeout:
                    raise TimeoutError(f"{len(missing)} of {len(wanted)} changes were not served within {timeout:g} s")
                await asyncio.sleep(max(_SHORTEST, _SHARE * (now - started)))
        return seen

    async def _who(self, paths: Sequence[str]) -> list[str]:
        for _ in range(2):  # a proxy may close a kept connection at any time
            try:
                async with asyncio.timeout(_ANSWER_TIMEOUT):
                    return await self._exchange(paths)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.close()
        return [""] * len(paths)

    async def _exchange(self, paths: Sequence[str]) -> list[str]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() for path in paths))
        return [await self._answer(self._reader) for _ in paths]

    async def _answer(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        _, chunked, _ = head.partition("\r\ntransfer-encoding: chunked")
        body = b""
        if chunked:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            length = head.partition("\r\ncontent-length: ")[2].split("\r\n")[0]
            body = await reader.readexactly(int(length or 0))
        return body.decode("latin-1").strip() if head.split()[1] == "200" else ""
