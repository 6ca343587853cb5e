"""Real Traefiks as an admin would start them, and what tests do to them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from jhub_kvproxy.traefik.binary import find_traefik
from tests.servers import Client, free_port

_INTERVAL = 0.02


class Replica:
    """A Traefik that reads `provider` (``Backend.traefik_provider_config``), until :meth:`end`."""

    def __init__(
        self, directory: Path, provider: Mapping[str, Any], *, host: str = "127.0.0.1", api_port: int = 0
    ) -> None:
        self.port, self.api_port = free_port(), api_port or free_port()
        self.api_url = f"http://{host}:{self.api_port}"
        static = {
            "api": {"insecure": True, "dashboard": False},
            "entryPoints": {
                "public": {"address": f"127.0.0.1:{self.port}", "asDefault": True},
                "traefik": {"address": f"{host}:{self.api_port}"},
            },
            "providers": {"providersThrottleDuration": "0s", **provider},
            "log": {"level": "FATAL"},
        }
        directory.mkdir(parents=True, exist_ok=True)
        self._file = directory / f"traefik-{self.api_port}-{host}.toml"
        self._file.write_text(tomli_w.dumps(static))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Replica:
        command = [*find_traefik(["traefik"]), f"--configFile={self._file}"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        return self

    def end(self, number: int = signal.SIGKILL) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        assert self._process
        freeze(self._process.pid)

    def thaw(self) -> None:
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    async def server(self, path: str) -> str | None:
        return await served_at(self.port, path)


async def served_at(port: int, path: str) -> str | None:
    """The name of the user server that answers there; None when none does."""
    client = Client(port)
    try:
        return await client.server(path)
    except (OSError, asyncio.IncompleteReadError):
        return None
    finally:
        await client.close()


def freeze(pid: int) -> None:
    """Stop a process without ending it: its ports take connections, and nothing answers."""
    os.kill(pid, signal.SIGSTOP)
    while any(state(pid, thread) not in "TXZ" for thread in os.listdir(f"/proc/{pid}/task")):
        time.sleep(_INTERVAL)


def state(pid: int, thread: str) -> str:
    try:
        return Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
