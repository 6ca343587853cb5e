"""A process that holds the lease and writes as fast as it can, for tests that stop it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from itertools import count
from operator import attrgetter
from typing import Any, cast

from ..aio import in_thread
from ..errors import BackendUnavailable, LeaseHeld, LeaseLost
from ..store.contract import Backend, Batch, SupportsLease
from ._kit import in_time, options_of

KEYS = ("routes/holder", "traefik/http/routers/holder/rule")


class Holder:
    """The process, seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def stop(self) -> None:
        """Stop it; it is where the signal finds it when this returns."""
        self._signal(signal.SIGSTOP)
        await in_thread(os.waitid, os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    async def says(self, rule: str) -> str:
        """Its next line; AssertionError with `rule` after a minute."""
        assert self._process.stdout
        return (await in_time(self._process.stdout.readline(), rule)).decode().strip()

    async def end(self) -> None:
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)


@asynccontextmanager
async def holder_of(backend: Backend, ttl: float) -> AsyncIterator[Holder]:
    """A process with an object like `backend`, which holds the lease for `ttl` seconds each time, and writes."""
    kind = type(backend)
    order = (kind.__module__, kind.__qualname__, {**options_of(backend), "prefix": backend.prefix}, ttl)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"import {__name__} as holder; holder.main()"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    holder = Holder(process)
    try:
        assert process.stdin
        process.stdin.write(json.dumps(order).encode())
        process.stdin.close()
        yield holder
    finally:
        await holder.end()


async def _hold(module: str, name: str, traits: dict[str, Any], ttl: float) -> None:
    backend: Backend = attrgetter(name)(import_module(module))(**traits)
    lessee = cast(SupportsLease, backend)
    await backend.open()
    due, had_lease = 0.0, False
    for number in count():
        try:
            if time.monotonic() >= due:
                await lessee.acquire_lease("the holder", ttl)
                due = time.monotonic() + ttl / 3
            await backend.apply(Batch(dict.fromkeys(KEYS, str(number))))
        except BackendUnavailable:
            continue
        except (LeaseHeld, LeaseLost):
            due, has_lease = 0.0, False
            await asyncio.sleep(0.02)
        else:
            has_lease = True
        if has_lease != had_lease:
            had_lease = has_lease
            print("writes" if has_lease else "lost", flush=True)


def main() -> None:
    """The process."""
    asyncio.run(_hold(*json.load(sys.stdin)))
