"""Redis servers and Sentinels of the tests' own."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from jhub_kvproxy import Batch
from jhub_kvproxy_backends.redis import RedisBackend
from tests.servers import free_port
from tests.stores import find_server

PATIENCE = 60
_ATTEMPTS = 3
_READY = ("eady to accept connections", "Sentinel ID is")


class _Process:
    """A redis-server with its files in `directory`; `lines` are lines of its configuration file.

    The port is the same after each start.
    """

    _arguments: tuple[str, ...] = ()

    def __init__(self, directory: Path, *lines: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = free_port()
        self.lines = list(lines)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Any:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.start()
                break
            except AssertionError:
                if attempt == _ATTEMPTS:
                    raise
                self.port = free_port()  # another program may have taken it in the meantime
        return self

    def __exit__(self, *_: Any) -> None:
        self.kill()  # one that cannot save its data would not stop

    def _port_line(self) -> str:
        return f"port {self.port}"

    def write_configuration(self) -> None:
        self._file.write_text("\n".join([self._port_line(), f'dir "{self.directory}"', *self.lines, ""]))

    def start(self, *, wait: bool = True) -> None:
        """Start it, with the data that it left; with `wait`, returns when it takes commands."""
        self.write_configuration()
        said_before = len(self.log)
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [find_server("redis-server"), str(self._file), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while wait and not any(words in self.log[said_before:] for words in _READY):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def stop(self) -> None:
        """End it cleanly. Without a start, do nothing."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """From now on it holds its connections and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def client(self, db: int = 0, **options: Any) -> Any:
        """A client that knows nothing of the driver (``redis.Redis``)."""
        from redis import Redis

        return Redis(port=self.port, db=db, decode_responses=True, protocol=2, **options)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _end(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(PATIENCE)
            self._process = None

    @property
    def _file(self) -> Path:
        return self.directory / "redis.conf"

    @property
    def _log(self) -> Path:
        return self.directory / "redis.log"


class RedisServer(_Process):
    """A Redis that keeps nothing over a restart unless `lines` say so.

    `tls` is certificate, key and authority's certificate (files) of a server that speaks TLS only.
    """

    def __init__(self, directory: Path, *lines: str, tls: tuple[str, str, str] | None = None) -> None:
        super().__init__(directory, "bind 127.0.0.1 -::1", 'save ""', "loglevel notice", *lines)
        self._tls = tls

    def _port_line(self) -> str:
        if self._tls is None:
            return f"port {self.port}"
        names = ("cert", "key", "ca-cert")
        files = [f'tls-{name}-file "{file}"' for name, file in zip(names, self._tls, strict=True)]
        return "\n".join(["port 0", f"tls-port {self.port}", *files])

    @property
    def url(self) -> str:
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}"


class RedisSentinel(_Process):
    """A Sentinel that alone decides which of `master` and its replicas is the master named ``hub-master``."""

    _arguments = ("--sentinel",)
    master_name = "hub-master"

    def __init__(self, directory: Path, master: RedisServer, *lines: str) -> None:
        name = self.master_name
        super().__init__(
            directory,
            "bind 127.0.0.1 -::1",
            f"sentinel monitor {name} 127.0.0.1 {master.port} 1",
            f"sentinel down-after-milliseconds {name} 500",
            f"sentinel failover-timeout {name} 2000",
            *lines,
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def starting(directory: Path) -> Iterator[Callable[..., RedisServer]]:
    """A function that starts servers, given lines of configuration; they end with the context."""
    with ExitStack() as stack:
        yield lambda *lines, name="redis", **options: stack.enter_context(
            RedisServer(directory / name, *lines, **options)
        )


@asynccontextmanager
async def opening() -> AsyncIterator[Callable[..., Awaitable[RedisBackend]]]:
    """A function that opens backends on a server; they are closed with the context."""
    async with AsyncExitStack() as stack:

        async def make(server: Any, **traits: Any) -> RedisBackend:
            backend = RedisBackend(**{"url": server.url, "prefix": "hub", **traits})
            stack.push_async_callback(backend.close)
            await backend.open()
            return backend

        yield make


async def use(**traits: Any) -> None:
    """Do everything that the backend can do, once, on a prefix where nothing is."""
    backend = RedisBackend(**{"prefix": "jupyterhub", **traits})
    try:
        await backend.open()
        await backend.acquire_lease("me", 60)
        await backend.apply(Batch({"routes/a": "1", "traefik/http/routers/a/rule": "1"}))
        assert len((await backend.load()).keys) == 2
        watch = backend.watch()
        await anext(watch)
        await watch.aclose()
        await backend.remove()
    finally:
        await backend.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A plain Redis for all tests of a worker; each keeps to a prefix of its own."""
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, RedisServer(Path(directory)) as server:
        yield server
