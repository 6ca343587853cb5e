"""Real Redises and Sentinels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .cluster import Cluster
from .errors import Unavailable
from .ports import free_port
from .process import Process
from .programs import find

_READY = ("eady to accept connections", "Sentinel ID is")


class _Redis(Process):
    """A redis-server with its files in `directory`; `lines` are lines of its configuration file."""

    def __init__(self, directory: Path, name: str, port: int, lines: list[str], *arguments: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.data = directory / "appendonlydir"
        self._said_before = 0
        file = directory / "redis.conf"
        file.write_text("\n".join(["bind 127.0.0.1 -::1", f'dir "{directory}"', *lines, ""]))
        super().__init__(name, [find("redis-server"), str(file), *arguments], directory / f"{name}.log", port=port)

    def launch(self) -> None:
        self._said_before = len(self.log)
        super().launch()

    def is_ready(self) -> bool:
        return any(words in self.log[self._said_before :] for words in _READY)

    def client(self, db: int = 0, **options: Any) -> Any:
        """A client that knows nothing of the driver (``redis.Redis``)."""
        from redis import Redis

        return Redis(port=self.port, db=db, decode_responses=True, protocol=2, **options)


class RedisServer(_Redis):
    """A Redis that keeps nothing over a restart unless `lines` say so.

    `tls` is certificate, key and authority's certificate (files) of a server that speaks TLS only.
    """

    def __init__(
        self, directory: Path, *lines: str, name: str = "redis", tls: tuple[str, str, str] | None = None
    ) -> None:
        port = free_port()
        self.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{port}"
        self.traits: dict[str, Any] = {"url": self.url}
        listen = [f"port {port}"]
        if tls:
            listen = ["port 0", f"tls-port {port}"]
            listen += [f'tls-{kind}-file "{file}"' for kind, file in zip(("cert", "key", "ca-cert"), tls, strict=True)]
        super().__init__(directory, name, port, [*listen, 'save ""', "loglevel notice", *lines])


class RedisSentinel(_Redis):
    """A Sentinel that decides, with `quorum` of its kind, who of `master` and its replicas is the master."""

    master_name = "hub-master"

    def __init__(
        self, directory: Path, master: RedisServer, *lines: str, name: str = "sentinel", quorum: int = 1
    ) -> None:
        port, master_name = free_port(), self.master_name
        ours = [
            f"port {port}",
            f"sentinel monitor {master_name} 127.0.0.1 {master.port} {quorum}",
            f"sentinel down-after-milliseconds {master_name} 500",
            f"sentinel failover-timeout {master_name} 2000",
        ]
        super().__init__(directory, name, port, [*ours, *lines], "--sentinel")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


class RedisCluster(Cluster):
    """A durable Redis with two replicas, and three Sentinels that choose another master when it dies.

    The Sentinels are no part of the store: they live while it is killed and frozen.
    """

    def __init__(self, directory: Path) -> None:
        lines = ["appendonly yes", "notify-keyspace-events KEA", "repl-diskless-sync-delay 0"]
        master = RedisServer(directory / "redis-1", *lines, name="redis-1")
        lines.append(f"replicaof 127.0.0.1 {master.port}")
        self._redises = [
            master,
            *(RedisServer(directory / name, *lines, name=name) for name in ("redis-2", "redis-3")),
        ]
        times = [
            f"sentinel down-after-milliseconds {RedisSentinel.master_name} 1000",
            f"sentinel failover-timeout {RedisSentinel.master_name} 10000",
        ]
        sentinels = [
            RedisSentinel(directory / name, master, *times, name=name, quorum=2)
            for name in ("sentinel-1", "sentinel-2", "sentinel-3")
        ]
        super().__init__(self._redises, sentinels)
        self._sentinel = sentinels[0]
        self.traits = {
            "sentinels": [sentinel.address for sentinel in sentinels],
            "sentinel_master": RedisSentinel.master_name,
        }

    def is_ready(self) -> bool:
        from redis import RedisError

        try:
            with self.leader().client(socket_timeout=3) as master, self._sentinel.client() as sentinel:
                is_written = master.set("kvproxy-test", "1") and master.wait(1, 1000) >= 1
                others = sentinel.sentinel_master(RedisSentinel.master_name)["num-other-sentinels"]
        except RedisError:
            return False
        return bool(is_written and others == 2)

    def empty(self) -> None:
        with self.leader().client() as master:
            master.flushall()

    def leader(self) -> RedisServer:
        with self._sentinel.client() as sentinel:
            address = sentinel.sentinel_get_master_addr_by_name(RedisSentinel.master_name)
        for redis in self._redises:
            if address and int(address[1]) == redis.port:
                return redis
        raise Unavailable("the Sentinels know no master of ours")
