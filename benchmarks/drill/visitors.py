"""The drill's side of the visitors, which run :mod:`.load` or the like."""

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
    async def spawn(cls, what: dict[str, Any], directory: Path, module: str = "benchmarks.drill.load") -> Visitors:
        """Visitors of `what`: the arguments of the `module`'s class Load."""
        log = directory / "load.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *tied([sys.executable, "-m", module]),
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
        """Raises BenchmarkError with the end of its log if it has ended."""
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
