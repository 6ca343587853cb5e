"""The processes of hub parts, as the benchmark sees them; what runs in them is :mod:`.worker`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.calls import LINE_LIMIT, Calls, Gone
from servers.process import last_words
from servers.programs import ROOT

from .errors import BenchmarkError
from .processes import descendants

_STOP_TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """When the worker began and ended what it was told (monotonic clock), and what came of it."""

    started: float
    ended: float
    result: Any

    @property
    def seconds(self) -> float:
        return self.ended - self.started


class Worker:
    """A worker process, from :meth:`spawn` to :meth:`stop`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self._name = name
        self._process = process
        self._log = log
        self._calls = Calls(name, process)

    @classmethod
    async def spawn(cls, name: str, python: str, directory: Path, env: Mapping[str, str]) -> Worker:
        """A worker that runs in `directory`."""
        log = directory / "hub.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                python,
                "-m",
                "benchmarks.worker",  # which ends its proxy, and itself, when its input ends
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=directory,
                env={**env, "PYTHONPATH": os.pathsep.join(filter(None, [env.get("PYTHONPATH"), str(ROOT)]))},
                limit=LINE_LIMIT,
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def call(self, do: str, *, timeout: float, **arguments: Any) -> Reply:
        """Tell the worker to do something. Raises BenchmarkError when that fails, or takes too long."""
        try:
            answer = await self._calls.call(do, timeout=timeout, **arguments)
        except Gone:
            raise BenchmarkError(f"{self._name}: the worker ended: {last_words(self._log)}") from None
        if "error" in answer:
            raise BenchmarkError(f"{self._name}: '{do}' failed: {answer['error']}")
        return Reply(answer["started"], answer["ended"], answer["result"])

    async def stop(self) -> None:
        """End the proxy, then the worker; at once what does not end by itself."""
        children = descendants(self.pid)
        assert self._process.stdin
        self._process.stdin.close()  # upon which it stops the proxy
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        for pid, name in children.items():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    os.kill(pid, signal.SIGKILL)
        await self._calls.end()
