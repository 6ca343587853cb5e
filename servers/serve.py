"""Reads commands from standard input, one JSON object a line, and answers each when it is done.

``{"id": 1, "do": "add", ...}`` is answered by ``{"id": 1, "started": ..., "ended": ..., "result": ...}``, with
the times of the monotonic clock, which all processes of a machine share, or with ``"error"``. Commands run
beside each other. When standard input ends, the command ``stop`` is the last.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import traceback
from typing import Any, TextIO

_LINE_LIMIT = 1 << 24


def serve(commands: object) -> None:
    """Do the commands by the methods of `commands`; returns when standard input has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us, who then ends our input
    # What the proxy and its children print must not get between the answers.
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)
        asyncio.run(_serve(commands, replies))


async def _serve(commands: object, replies: TextIO) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks: set[asyncio.Task[None]] = set()

    async def answer(message: dict[str, Any]) -> None:
        reply = {"id": message.pop("id"), **await _run(commands, message.pop("do"), message)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    try:
        while line := await reader.readline():
            task = asyncio.create_task(answer(json.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        for task in tasks:
            task.cancel()
        await _run(commands, "stop", {})


async def _run(commands: object, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The answer to the command `name`: when it began and ended, and its result or the error."""
    started = time.monotonic()
    try:
        answer = {"result": await getattr(commands, name)(**arguments)}
    except Exception as error:
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"}
    return {"started": started, "ended": time.monotonic(), **answer}
