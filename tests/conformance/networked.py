"""A small store on a network, and a driver that fulfils the contract: the mutants of it break."""

from __future__ import annotations

import asyncio
import json
import secrets
import socketserver
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from traitlets import Float, Integer, Unicode

from jhub_kvproxy import (
    Backend,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    Batch,
    LeaseHeld,
    LeaseLost,
    Snapshot,
)


@dataclass
class Table:
    keys: dict[str, str] = field(default_factory=dict)
    version: int = 0
    #: Changes with an older one are refused.
    epoch: int = 0
    token: str = ""
    holder: str = ""
    expiry: float = 0.0
    is_forbidden: bool = False


class Store:
    """Tables by prefix, and what can be asked of them; each request is one transaction."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self._changed = threading.Condition()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            table = self.tables.setdefault(request.pop("prefix"), Table())
            if table.is_forbidden:
                return {"is_forbidden": True}
            answer: dict[str, Any] = getattr(self, request.pop("do"))(table, **request)
            return answer

    def load(self, table: Table) -> dict[str, Any]:
        return {"keys": dict(table.keys)}

    def apply(self, table: Table, changes: dict[str, str | None], token: str, epoch: int | None) -> dict[str, Any]:
        """A change with a token needs the lease; one with an epoch needs this to be the table's."""
        if epoch not in (None, table.epoch):
            return {"epoch": table.epoch}
        if token and not self.check(table, token)["is_held"]:
            return {"is_lost": True}
        before = dict(table.keys)
        table.keys.update({key: value for key, value in changes.items() if value is not None})
        for key in [key for key, value in changes.items() if value is None]:
            table.keys.pop(key, None)
        if table.keys != before:
            table.version += 1
            self._changed.notify_all()
        return {}

    def epoch(self, table: Table, is_next: bool) -> dict[str, Any]:
        table.epoch += is_next
        return {"epoch": table.epoch}

    def wait(self, table: Table, version: int, seconds: float) -> dict[str, Any]:
        self._changed.wait_for(lambda: table.version != version, seconds)
        return {"version": table.version}

    def acquire(self, table: Table, token: str, holder: str, ttl: float) -> dict[str, Any]:
        if table.expiry > time.monotonic() and table.token != token:
            return {"holder": table.holder}
        table.token, table.holder, table.expiry = token, holder, time.monotonic() + ttl
        return {}

    def check(self, table: Table, token: str) -> dict[str, Any]:
        return {"is_held": table.token == token and table.expiry > time.monotonic()}

    def release(self, table: Table, token: str, epoch: int) -> dict[str, Any]:
        if epoch != table.epoch:
            return {"epoch": table.epoch}
        if table.token == token:
            table.expiry = 0.0
        return {}


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    store: Store


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        with suppress(OSError):
            for line in self.rfile:
                self.wfile.write(json.dumps(self.server.store.answer(json.loads(line))).encode() + b"\n")


@contextmanager
def serving(store: Store) -> Iterator[int]:
    """The port of a server of `store`, in threads."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.store = store
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Connection:
    """Asks one question at a time."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._address = host, port
        self._timeout = timeout
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._is_ended = False

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        async with asyncio.timeout(self._timeout), self._lock:
            try:
                if self._is_ended:
                    raise ConnectionError("The connection has been closed.")
                if self._streams is None:
                    self._streams = await asyncio.open_connection(*self._address, limit=1 << 26)
                reader, writer = self._streams
                writer.write(json.dumps(question).encode() + b"\n")
                if not (line := await reader.readline()).endswith(b"\n"):
                    raise ConnectionError("The store has closed the connection.")
                answer: dict[str, Any] = json.loads(line)
                return answer
            except BaseException as error:
                self.failed(error)
                raise

    def failed(self, error: BaseException) -> None:
        """An answer may be on its way still, which is not the one to our next question."""
        self.close()

    def close(self) -> None:
        streams, self._streams = self._streams, None
        if streams:
            streams[1].transport.abort()

    def end(self) -> None:
        """Close it for good."""
        self._is_ended = True
        self.close()


class NetworkedBackend(Backend):
    """The driver."""

    contract = 2

    host = Unicode("127.0.0.1", config=True)
    port = Integer(config=True)
    timeout = Float(10.0, config=True)
    password = Unicode(config=True)

    connection_class = Connection
    _connection: Connection | None = None
    _token = ""
    _epoch = 0
    _is_in_doubt = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._watches: set[Connection] = set()

    async def open(self) -> None:
        if self._connection is None:
            self._connection = self.connect()
            try:
                self._epoch = (await self.ask(do="epoch", is_next=False))["epoch"]
            except BaseException:
                self._connection.close()
                self._connection = None
                raise

    async def close(self) -> None:
        connection = self._connection
        if connection:
            try:
                with suppress(BackendError):
                    await self.release_lease()
            finally:
                self._token = ""
                self._connection = None
                for each in (connection, *self._watches):
                    each.end()

    async def apply(self, batch: Batch) -> None:
        self.check_writable()
        await self.settle()
        answer = await self.send(batch)
        if "is_lost" in answer:
            raise LeaseLost("This writer no longer has the lease.")

    async def send(self, batch: Batch) -> dict[str, Any]:
        return await self.fenced(do="apply", changes=dict(batch.changes), token=self._token)

    async def fenced(self, **question: Any) -> dict[str, Any]:
        """The answer to a question that the store no longer takes once we have settled."""
        self._is_in_doubt = True
        while "epoch" in (answer := await self.ask(**question, epoch=self._epoch)):
            self._epoch = answer["epoch"]
        self._is_in_doubt = False
        return answer

    async def settle(self) -> None:
        """See to it that no change or release of ours that is on its way will be made."""
        if self._is_in_doubt:
            self._epoch = (await self.ask(do="epoch", is_next=True))["epoch"]
            self._is_in_doubt = False

    async def load(self) -> Snapshot:
        await self.settle()
        return Snapshot((await self.ask(do="load"))["keys"])

    async def watch(self) -> AsyncGenerator[None]:
        connection = self.connect()
        self._watches.add(connection)
        try:
            version = -1
            while True:
                known, version = version, await self.next_version(connection, version)
                if version != known:
                    yield
        finally:
            self._watches.discard(connection)
            connection.close()

    async def next_version(self, connection: Connection, known: int) -> int:
        return int((await self.ask(connection, do="wait", version=known, seconds=self.timeout / 2))["version"])

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        self.check_writable()
        await self.settle()
        self._token = self._token or secrets.token_hex(8)
        answer = await self.ask(do="acquire", token=self._token, holder=holder, ttl=ttl)
        if "holder" in answer:
            raise LeaseHeld(f"{answer['holder']} has the lease.")

    async def release_lease(self) -> None:
        if self._token and self._connection:
            await self.settle()
            await self.fenced(do="release", token=self._token)
        self._token = ""

    def connect(self) -> Connection:
        return self.connection_class(self.host, self.port, self.timeout)

    async def ask(self, connection: Connection | None = None, /, **question: Any) -> dict[str, Any]:
        connection = connection or self._connection
        if connection is None:
            raise BackendUnavailable("The backend is not open.")
        try:
            answer = await connection.ask({"prefix": self.prefix, **question})
        except (OSError, TimeoutError, ValueError) as error:
            raise BackendUnavailable(f"The store at {self.host}:{self.port} does not answer ({error}).") from error
        if "is_forbidden" in answer:
            raise BackendRejected("The store forbids it.")
        return answer
