"""Runs a command for a short time, to read what it writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ..aio import in_thread

_LONGEST_LINE = 1 << 20
_PATIENCE = 5.0


@asynccontextmanager
async def output_of(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.StreamReader]:
    """What `command` writes while the context lasts; the end of the context ends the command.

    It ends with all of its process group: it may be a script. What left the group, or may not be ended by us, runs
    on, and is not waited for. Raises OSError when it cannot be started.
    """
    process = _started(command, cwd, env)
    output = asyncio.StreamReader(limit=_LONGEST_LINE)
    protocol = asyncio.StreamReaderProtocol(output)
    try:
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, process.stdout)
        with contextlib.closing(pipe):
            yield output
    finally:
        with contextlib.suppress(OSError):  # all have ended, or it is another user's
            os.killpg(process.pid, signal.SIGKILL)  # until it is waited for, the number is its own
        await in_thread(_wait, process)


def _started(command: Sequence[str], cwd: Path | None, env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    # It is no process of asyncio's: their wait() waits until nobody holds the output open, and all of it is read.
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        bufsize=0,
    )


def _wait(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
