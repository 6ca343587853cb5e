"""The visitors, as the drill sees them; what runs is :mod:`.load`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from servers.process import last_words, tied
from servers.programs import ROOT

from ..errors import BenchmarkError
from .events import Event

_LINE_LIMIT = 1 << 24


class Visitors:
    """A process of visitors, from :meth:`spawn` to :meth:`stop`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        #: All that happened so far.
        self.events: list[Event] = []
        #: How many websockets are open.
        self.websockets = 0
        self._process = process
        self._log = log
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def spawn(cls, what: dict[str, Any], directory: Path) -> Visitors:
        """Visitors of `what`: the arguments of :class:`.load.Load`."""
        log = directory / "load.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *tied([sys.executable, "-m", "benchmarks.drill.load"]),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                limit=_LINE_LIMIT,
                start_new_session=True,
            )
        assert process.stdin
        process.stdin.write(json.dumps(what).encode() + b"\n")
        return cls(process, log)

    def check(self) -> None:
        """Raises BenchmarkError with its last words when it has ended."""
        if self._reading.done():
            raise BenchmarkError(f"the visitors ended: {last_words(self._log)}")

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            self.websockets = said["websockets"]
            self.events += [Event(*event) for event in said["events"]]
