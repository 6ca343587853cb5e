"""The stores that the benchmark can start: each one server, which keeps what it acknowledges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jhub_kvproxy.store.contract import SupportsTraefik, supports
from jhub_kvproxy.store.registry import find_backend
from servers.consul import ConsulServer
from servers.etcd import EtcdServer
from servers.kubernetes import KubernetesServer, find_api_server
from servers.postgres import PostgresServer
from servers.programs import find
from servers.redis import RedisServer

_Server = EtcdServer | ConsulServer | RedisServer | KubernetesServer | PostgresServer


@dataclass(frozen=True, slots=True)
class Store:
    """A running store."""

    #: A URL, or a directory.
    address: str
    #: Of the driver.
    traits: dict[str, Any]
    process: _Server | None = None

    @property
    def pids(self) -> list[int]:
        return self.process.pids if self.process else []

    def stop(self) -> None:
        if self.process:
            self.process.stop()


def _redis(directory: Path) -> RedisServer:
    # Traefik hears of changes, as its documentation asks for, and they are on the disk within a second.
    return RedisServer(directory, "notify-keyspace-events KEA", "appendonly yes")


_SERVERS: dict[str, Callable[[Path], _Server]] = {
    "etcd": lambda directory: EtcdServer(directory, durable=True),
    "consul": lambda directory: ConsulServer(directory, durable=True),
    "redis": _redis,
    "kubernetes": lambda directory: KubernetesServer(directory, durable=True),
    "postgres": lambda directory: PostgresServer(directory, durable=True),
}
_PROGRAMS = {
    "etcd": ["etcd"],
    "consul": ["consul"],
    "redis": ["redis-server"],
    "kubernetes": ["etcd"],
    "postgres": ["postgres"],
}


def is_known(backend: str) -> bool:
    """Whether :func:`start` can start the store of `backend`."""
    return backend == "toml" or backend in _SERVERS


def find_programs(backend: str) -> None:
    """Look for what the store of `backend` runs. Raises Missing, which says how to get it."""
    for program in _PROGRAMS.get(backend, ()):
        find(program)
    if backend == "kubernetes":
        find_api_server()


def is_read_by_traefik(backend: str) -> bool:
    """Whether Traefik can read the store of `backend` by itself. Raises BackendNotFound."""
    return supports(find_backend(backend), SupportsTraefik)


def start(backend: str, directory: Path) -> Store:
    """Start the store of `backend`, and wait until it answers. Raises Unavailable."""
    directory.mkdir(parents=True)
    if backend == "toml":
        return Store(str(directory), {"path": str(directory)})
    server = _SERVERS[backend](directory)
    server.start()
    try:
        return Store(server.url, server.traits, server)
    except BaseException:
        server.kill()
        raise
