"""A Redis with two copies, and three Sentinels that choose another primary when it dies."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from pathlib import Path

from ...errors import BenchmarkError
from ...processes import free_port
from ...tools import find
from ..part import Part
from .base import Store, run

_MASTER = "drill"
_DOWN_AFTER = 1000  # ms


class RedisStore(Store):
    """The Sentinels are not part of the store: they run on while it is killed or frozen."""

    backend, section = "redis", "RedisBackend"

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._ports = {f"redis-{number}": free_port() for number in (1, 2, 3)}
        first = next(iter(self._ports.values()))
        for name, port in self._ports.items():
            lines = ["appendonly yes", 'save ""', "notify-keyspace-events KEA", "repl-diskless-sync-delay 0"]
            if port != first:
                lines.append(f"replicaof 127.0.0.1 {first}")
            self.parts.append(_part(name, port, lines, directory))
        sentinels = {f"sentinel-{number}": free_port() for number in (1, 2, 3)}
        for name, port in sentinels.items():
            lines = [
                f"sentinel monitor {_MASTER} 127.0.0.1 {first} 2",
                f"sentinel down-after-milliseconds {_MASTER} {_DOWN_AFTER}",
                f"sentinel failover-timeout {_MASTER} 10000",
            ]
            self.helpers.append(_part(name, port, lines, directory, "--sentinel"))
        self._sentinel = next(iter(sentinels.values()))
        self.traits = {
            "sentinels": [f"127.0.0.1:{port}" for port in sentinels.values()],
            "sentinel_master": _MASTER,
        }

    def looks_ready(self) -> bool:
        return (
            _asked(self._master_port(), "set drill 1") == "OK"
            and int(_asked(self._master_port(), "wait 1 1000")) >= 1
            and "num-other-sentinels 2" in " ".join(_asked(self._sentinel, f"sentinel master {_MASTER}").split())
        )

    async def empty(self) -> None:
        port = await asyncio.to_thread(self._master_port)
        await run([find("redis-cli"), "-p", str(port), "flushall"])

    async def leader(self) -> Part:
        port = await asyncio.to_thread(self._master_port)
        for part in self.parts:
            if self._ports[part.name] == port:
                return part
        raise BenchmarkError("the Sentinels know no primary of ours")

    def _master_port(self) -> int:
        return int(_asked(self._sentinel, f"sentinel get-master-addr-by-name {_MASTER}").split()[1])


def _asked(port: int, command: str) -> str:
    words = [find("redis-cli"), "-h", "127.0.0.1", "-p", str(port), *shlex.split(command)]
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=3, check=False).stdout.strip()
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(str(error)) from error


def _part(name: str, port: int, lines: list[str], directory: Path, *arguments: str) -> Part:
    place = directory / name
    place.mkdir()
    file = place / "redis.conf"
    file.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f'dir "{place}"', *lines, ""]))
    return Part(name, [find("redis-server"), str(file), *arguments], directory / f"{name}.log")
