"""The stores that the benchmark can start: each one server, which keeps what it acknowledges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.consul import ConsulServer
from servers.etcd import EtcdServer
from servers.process import Process
from servers.redis import RedisServer


@dataclass(frozen=True, slots=True)
class Store:
    """A running store."""

    #: A URL, or a directory.
    address: str
    #: Of the driver.
    traits: dict[str, Any]
    process: Process | None = None

    @property
    def pids(self) -> list[int]:
        return [self.process.pid] if self.process else []

    def stop(self) -> None:
        if self.process:
            self.process.stop()


def _redis(directory: Path) -> RedisServer:
    # Traefik hears of changes, as its documentation asks for, and they are on the disk within a second.
    return RedisServer(directory, "notify-keyspace-events KEA", "appendonly yes")


_SERVERS: dict[str, Callable[[Path], EtcdServer | ConsulServer | RedisServer]] = {
    "etcd": lambda directory: EtcdServer(directory, durable=True),
    "consul": lambda directory: ConsulServer(directory, durable=True),
    "redis": _redis,
}


def is_known(backend: str) -> bool:
    """Whether :func:`start` can start the store of `backend`."""
    return backend == "toml" or backend in _SERVERS


def start(backend: str, directory: Path) -> Store:
    """Start the store of `backend`, and wait until it answers. Raises Unavailable."""
    directory.mkdir(parents=True)
    if backend == "toml":
        return Store(str(directory), {"path": str(directory)})
    server = _SERVERS[backend](directory)
    server.start()
    return Store(server.url, server.traits, server)
