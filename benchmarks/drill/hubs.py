"""Hubs, as the drill sees them; what runs in them is :mod:`.hub`."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
from pathlib import Path
from typing import Any

from ..errors import BenchmarkError
from ..processes import last_words, tied
from ..tools import ROOT
from .part import freeze

_LINE_LIMIT = 1 << 24


class HubGone(Exception):
    """The hub ended, or was given up, before it answered: what it was asked for may be done or not."""


class HubProcess:
    """A hub, from :meth:`spawn` to :meth:`kill`."""

    def __init__(self, name: str, port: int, process: asyncio.subprocess.Process, log: Path) -> None:
        #: What it answers to visitors, and where.
        self.name, self.port = name, port
        self.is_gone = False
        self._process = process
        self._log = log
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def spawn(cls, name: str, port: int, specification: dict[str, Any], directory: Path) -> HubProcess:
        """A hub that has made its proxy object, and has not asked it for anything."""
        log = directory / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *tied([sys.executable, "-m", "benchmarks.drill.hub"], "KILL"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                limit=_LINE_LIMIT,
                start_new_session=True,
            )
        hub = cls(name, port, process, log)
        try:
            await hub.call("make", timeout=60, name=name, port=port, specification=specification)
        except HubGone:
            raise BenchmarkError(f"{name} does not come up: {last_words(log)}") from None
        except BaseException:
            await hub.kill()
            raise
        return hub

    async def call(self, do: str, *, timeout: float, **arguments: Any) -> Any:
        """What it answers. Raises BenchmarkError with its words when it fails, and HubGone."""
        if self.is_gone:
            raise HubGone
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(timeout):
                reply = await future
        except TimeoutError:
            raise BenchmarkError(f"{self.name}: '{do}' was not done within {timeout:g} s") from None
        finally:
            del self._waiting[number]
        if "error" in reply:
            raise BenchmarkError(reply["error"])
        return reply["result"]

    def freeze(self) -> None:
        freeze(self._process.pid)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def give_up(self) -> None:
        """Whoever waits for it waits no longer."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(HubGone())

    async def kill(self) -> None:
        """End it as a crash would. Harmless when it has ended."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            reply = json.loads(line)
            future = self._waiting.get(reply["id"])
            if future and not future.done():
                future.set_result(reply)
        self.is_gone = True
        self.give_up()
