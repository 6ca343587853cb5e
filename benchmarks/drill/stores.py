"""The stores of the drill: what may happen to each, of three members or one where it has any."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from servers.cluster import Cluster
from servers.consul import ConsulCluster
from servers.errors import Unavailable
from servers.etcd import EtcdCluster
from servers.kubernetes import KubernetesCluster
from servers.postgres import PostgresCluster
from servers.process import Process
from servers.redis import RedisCluster


class Files(Cluster):
    """A directory, in which any writer makes a directory of its own."""

    def __init__(self, directory: Path) -> None:
        super().__init__([])
        self._directory = directory / "table"
        self.traits = {"path": str(self._directory)}

    def make(self) -> Path:
        """Make the directory, and return it."""
        self._directory.mkdir(mode=0o700)
        return self._directory

    def is_ready(self) -> bool:
        return True

    def empty(self) -> None:
        for name in ("table.json", "traefik/routes.toml"):
            for file in self._directory.glob(f"*/{name}"):
                file.unlink()

    def leader(self) -> Process:
        raise Unavailable("files have no leader")


STORES: dict[str, Callable[[Path], Cluster]] = {
    "etcd": partial(EtcdCluster, durable=True),
    "consul": ConsulCluster,
    "redis": RedisCluster,
    "kubernetes": KubernetesCluster,
    "postgres": PostgresCluster,
    "toml": Files,
}
