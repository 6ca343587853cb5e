"""A KVProxy in a process of its own, which can be paused and killed. Run as a module it is that process."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from traitlets.config import Config

from jhub_kvproxy.hub.proxy import KVProxy
from servers.calls import LINE_LIMIT, Calls, Gone
from servers.process import PATIENCE, freeze
from servers.serve import serve
from tests.hub import kill_processes_of
from tests.site import Site

_ROOT = Path(__file__).parents[1]


class Child:
    """The process, seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._calls = Calls("the hub", process)

    async def call(self, method: str, *arguments: Any) -> Any:
        """What `method` of the KVProxy returns; RuntimeError with the class and text of what it raises."""
        try:
            answer = await self._calls.call("call", timeout=PATIENCE, method=method, arguments=arguments)
        except Gone:
            raise asyncio.CancelledError from None
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def pause(self) -> None:
        freeze(self._process.pid)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it as a crash would. Who waits for an answer is cancelled."""
        if self._process.returncode is None:
            self._process.kill()
        await self._calls.end()


@asynccontextmanager
async def child(site: Site, **traits: Any) -> AsyncIterator[Child]:
    """A KVProxy on the port and the store of `site`, with these traits; Traefik comes with the call of ``start``."""
    ours = {"runtime_dir": str(site.directory / "run"), "prefix": site.store.prefix, "delivery": "store"}
    proxy = {**ours, **traits}
    section = type(site.proxy().backend).__name__
    config = {"KVProxy": {"backend_class": site.store.name, **proxy}, section: dict(site.store.traits)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.child", json.dumps(config), str(site.port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        limit=LINE_LIMIT,
    )
    made = Child(process)
    try:
        yield made
    finally:
        await made.kill()
        kill_processes_of(site.directory)  # its Traefik


class _Hub:
    """What the process does."""

    def __init__(self, config: dict[str, Any], port: str) -> None:
        self._config, self._port = config, port
        self._proxy: KVProxy | None = None

    async def call(self, method: str, arguments: list[Any]) -> Any:
        if self._proxy is None:
            url, log = f"http://127.0.0.1:{self._port}/", logging.getLogger("child")
            self._proxy = KVProxy(public_url=url, config=Config(self._config), log=log)
        return await getattr(self._proxy, method)(*arguments)

    async def stop(self) -> None:
        """Nothing: its end is a crash."""


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    serve(_Hub(json.loads(sys.argv[1]), sys.argv[2]))
