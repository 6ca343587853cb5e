"""A slow network before a server on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class SlowNetwork:
    """Takes connections on :attr:`port`, within ``async with``, and carries them to `target`, another port.

    What a client sends arrives :attr:`delay` seconds later; answers come at once, as `rewrite` makes them.
    """

    def __init__(self, target: int, delay: float = 0.0, *, rewrite: Callable[[bytes], bytes] = bytes) -> None:
        self.delay = delay
        self.port = 0
        self._target = target
        self._rewrite = rewrite
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._carrying.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
                try:
                    answers = asyncio.create_task(self._carry(far_reader, writer))
                    await self._carry_slowly(reader, far_writer)
                    await answers
                finally:
                    answers.cancel()
                    far_writer.close()
        finally:
            self._carrying.discard(task)
            writer.close()

    async def _carry_slowly(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def send() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - loop.time())
                if not data:
                    break
                writer.write(data)

        sending = asyncio.create_task(send())
        try:
            while data := await reader.read(1 << 16):
                queue.put_nowait((loop.time() + self.delay, data))
            queue.put_nowait((loop.time() + self.delay, b""))
            await sending
            writer.write_eof()
        finally:
            sending.cancel()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(self._rewrite(data))
            writer.write_eof()
