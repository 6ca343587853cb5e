"""The drill's side of the hubs, which run :mod:`.hub`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

from servers.calls import LINE_LIMIT, Calls, Gone
from servers.process import freeze, last_words, tied
from servers.programs import ROOT

from ..errors import BenchmarkError


class HubProcess:
    """A hub, from :meth:`spawn` to :meth:`kill`."""

    def __init__(self, name: str, port: int, process: asyncio.subprocess.Process) -> None:
        #: Its answer to visitors, and its address.
        self.name, self.port = name, port
        self._process = process
        self._calls = Calls(name, process)

    @classmethod
    async def spawn(
        cls, name: str, port: int, specification: dict[str, Any], directory: Path, clock_ahead: float = 0.0
    ) -> HubProcess:
        """A hub that has made its proxy object, but not used it. Its wall clock is `clock_ahead` seconds ahead."""
        log = directory / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *tied([sys.executable, "-m", "benchmarks.drill.hub"], "KILL"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                limit=LINE_LIMIT,
                start_new_session=True,
            )
        hub = cls(name, port, process)
        try:
            told = {"name": name, "port": port, "specification": specification, "clock_ahead": clock_ahead}
            await hub.call("make", timeout=60, **told)
        except Gone:
            raise BenchmarkError(f"{name} does not start: {last_words(log)}") from None
        except BaseException:
            await hub.kill()
            raise
        return hub

    async def call(self, do: str, *, timeout: float, **arguments: Any) -> Any:
        """What it answers. Raises BenchmarkError with its words when it fails, and :class:`~servers.calls.Gone`."""
        answer = await self._calls.call(do, timeout=timeout, **arguments)
        if "error" in answer:
            raise BenchmarkError(answer["error"])
        return answer["result"]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        return self._calls.is_gone

    def freeze(self) -> None:
        freeze(self._process.pid)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def give_up(self) -> None:
        """Make all callers that wait for it fail."""
        self._calls.give_up()

    async def kill(self) -> None:
        """Kill it. Harmless if it has ended."""
        if self._process.returncode is None:
            self._process.kill()
        await self._calls.end()
