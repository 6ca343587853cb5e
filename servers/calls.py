"""Calls of a child process that runs :func:`.serve.serve`: for each call a line of JSON in, and one out."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from .errors import Unavailable

#: Bytes of the longest line.
LINE_LIMIT = 1 << 24


class Gone(Exception):
    """The process ended, or was given up, before it answered: what it was asked for may be done or not."""


class Calls:
    """The calls of one process, whose pipes are made with :data:`LINE_LIMIT`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.is_gone = False
        self._name = name
        self._process = process
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    async def call(self, do: str, *, timeout: float, **arguments: Any) -> dict[str, Any]:
        """Its answer. Raises :class:`Gone`, or Unavailable when it takes longer than `timeout` seconds."""
        if self.is_gone:
            raise Gone
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise Unavailable(f"{self._name}: '{do}' was not done within {timeout:g} s") from None
        finally:
            del self._waiting[number]

    def give_up(self) -> None:
        """Whoever waits for an answer waits no longer."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Gone())

    async def end(self) -> None:
        """Wait until the process has ended, and all that it answered is read."""
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            future = self._waiting.get(answer["id"])
            if future and not future.done():
                future.set_result(answer)
        self.is_gone = True
        self.give_up()
