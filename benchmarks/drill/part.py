"""A process of the drill, which can be killed, frozen and brought back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from ..errors import BenchmarkError
from ..processes import last_words, tied
from ..tools import ROOT

_PATIENCE = 60.0
_INTERVAL = 0.02


class Part:
    """A process of `command`, which can be started again; its output goes to `log`."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, cwd: Path = ROOT, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._cwd = cwd
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                # A frozen process reacts to no other signal when we are killed.
                tied(self._command, "KILL"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,  # only we get Ctrl-C, and end it
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill it. Harmless without a start, or twice."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Freeze it: it keeps its connections and does nothing."""
        assert self._process
        freeze(self._process.pid)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    async def until(self, is_ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait until `is_ready`. Raises BenchmarkError with the end of its log if it ends, or takes too long."""
        deadline = time.monotonic() + _PATIENCE
        while not await is_ready():
            if not self.is_running or time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name} does not start: {last_words(self.log)}")
            await asyncio.sleep(_INTERVAL)

    async def until_port(self, port: int) -> None:
        await self.until(lambda: takes_connections(port))


def freeze(pid: int) -> None:
    """Freeze a child of ours; return when it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)


async def takes_connections(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
