"""A network before a server on this machine, whose lines can die without a word."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self


class FreezingNetwork:
    """Takes connections on :attr:`port`, within ``async with``, and carries them to `target`, another port.

    A frozen connection stays open, and carries nothing any more.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._carrying: set[asyncio.Task[None]] = set()
        self._lines: list[asyncio.Event] = []
        self._is_frozen = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def freeze(self) -> None:
        """Freeze all connections, and those that are made later."""
        self._is_frozen = True
        self.freeze_lines()

    def freeze_lines(self) -> None:
        """Freeze the connections that there are."""
        for line in self._lines:
            line.clear()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._carrying.add(task)
        is_alive = asyncio.Event()
        self._lines.append(is_alive)
        if not self._is_frozen:
            is_alive.set()
        try:
            with suppress(OSError, asyncio.CancelledError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
                answers = asyncio.create_task(_carry(far_reader, writer, is_alive))
                try:
                    await _carry(reader, far_writer, is_alive)
                    await answers
                finally:
                    answers.cancel()
                    far_writer.close()
        finally:
            self._carrying.discard(task)
            writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_alive: asyncio.Event) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            await is_alive.wait()
            writer.write(data)
        await is_alive.wait()
        writer.write_eof()
