"""Real servers of the stores, each on a free port and in a directory of its own."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import BenchmarkError
from .processes import Server, free_port
from .tools import find

_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Store:
    """Where a running store is, and how to end it."""

    #: A URL, or a directory.
    address: str
    server: Server | None = None

    @property
    def pids(self) -> list[int]:
        return [self.server.pid] if self.server else []

    def stop(self) -> None:
        if self.server:
            self.server.stop()


def _files(directory: Path) -> Store:
    return Store(str(directory))


def _etcd(directory: Path) -> Store:
    port, peer_port = free_port(), free_port()
    url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    command = [
        find("etcd"),
        f"--data-dir={directory / 'data'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--logger=zap",
        "--log-level=error",
    ]
    server = Server("etcd", command, directory / "etcd.log")
    return _ready(server, port, url, lambda: json.loads(_get(f"{url}/health"))["health"] == "true")


def _consul(directory: Path) -> Store:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    ports = {"http": port, "dns": -1, "grpc": -1, "serf_wan": -1}
    ports |= {name: free_port() for name in ("server", "serf_lan")}
    config = {
        "bind_addr": "127.0.0.1",
        "bootstrap_expect": 1,
        "data_dir": str(directory / "data"),
        "disable_update_check": True,
        "log_level": "err",
        "performance": {"raft_multiplier": 1},  # as its documentation has it for production
        "ports": ports,
        "server": True,
    }
    file = directory / "consul.json"
    file.write_text(json.dumps(config))
    server = Server("Consul", [find("consul"), "agent", f"-config-file={file}"], directory / "consul.log")
    return _ready(server, port, url, lambda: json.loads(_get(f"{url}/v1/status/leader")) != "")


def _redis(directory: Path) -> Store:
    port = free_port()
    command = [find("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    # Traefik hears of changes, as its documentation asks for, and they are on the disk within a second.
    command += ["--notify-keyspace-events", "KEA", "--appendonly", "yes", "--save", ""]
    return _ready(Server("Redis", command, directory / "redis.log"), port, f"redis://127.0.0.1:{port}", lambda: True)


_STORES: dict[str, Callable[[Path], Store]] = {"toml": _files, "etcd": _etcd, "consul": _consul, "redis": _redis}


def is_known(backend: str) -> bool:
    """Whether :func:`start` can start the store of `backend`."""
    return backend in _STORES


def start(backend: str, directory: Path) -> Store:
    """Start the store of `backend`, and wait until it answers. Raises Missing, or BenchmarkError."""
    directory.mkdir(parents=True)
    return _STORES[backend](directory)


def _ready(server: Server, port: int, address: str, is_ready: Callable[[], bool]) -> Store:
    try:
        server.wait_for_port(port)
        deadline = time.monotonic() + _PATIENCE
        while not _holds(is_ready):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"The store at {address} accepts connections, but does not become ready.")
            time.sleep(0.02)
    except BaseException:
        server.stop()
        raise
    return Store(address, server)


def _holds(is_ready: Callable[[], bool]) -> bool:
    try:
        return is_ready()
    except (OSError, ValueError):
        return False


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=2) as answer:
        return bytes(answer.read())
