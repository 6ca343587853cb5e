"""A KVProxy in a process of its own, which can be paused and killed. Run as a module it is that process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from traitlets.config import Config

from jhub_kvproxy.hub.proxy import KVProxy
from tests.hub import kill_processes_of
from tests.site import Site

_ROOT = Path(__file__).parents[1]


class Child:
    """The process, seen from outside. Calls are answered in the order in which they end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())

    async def call(self, method: str, *arguments: Any) -> Any:
        """What `method` of the KVProxy returns; RuntimeError with the class and text of what it raises."""
        assert self._process.stdin
        number = len(self._answers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps([number, method, *arguments]).encode() + b"\n")
        kind, said = await self._answers[number]
        if kind:
            raise RuntimeError(f"{kind}: {said}")
        return said

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            pass

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it as a crash would. Who waits for an answer is cancelled."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            number, *answer = json.loads(line)
            self._answers[number].set_result(answer)
        for future in self._answers.values():
            future.cancel()


@asynccontextmanager
async def child(site: Site, **traits: Any) -> AsyncIterator[Child]:
    """A KVProxy on the port and the store of `site`, with these traits; Traefik comes with the call of ``start``."""
    ours = {"runtime_dir": str(site.directory / "run"), "prefix": site.store.prefix, "delivery": "store"}
    proxy = {**ours, **traits}
    section = type(site.proxy()._backend).__name__
    config = {"KVProxy": {"backend_class": site.store.name, **proxy}, section: dict(site.store.traits)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.child", json.dumps(config), str(site.port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
    )
    made = Child(process)
    try:
        yield made
    finally:
        await made.kill()
        kill_processes_of(site.directory)  # its Traefik


async def _main(config: dict[str, Any], port: str) -> None:
    logging.basicConfig(level=logging.INFO)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Traefik writes its log there
    proxy = KVProxy(public_url=f"http://127.0.0.1:{port}/", config=Config(config), log=logging.getLogger("child"))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def answer(number: int, method: str, *arguments: Any) -> None:
        try:
            said = ["", await getattr(proxy, method)(*arguments)]
        except Exception as error:
            said = [type(error).__name__, str(error)]
        answers.write(json.dumps([number, *said]) + "\n")

    async with asyncio.TaskGroup() as calls:
        async for line in reader:
            calls.create_task(answer(*json.loads(line)))


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1]), sys.argv[2]))
