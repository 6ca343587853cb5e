"""A TCP line to a store, which breaks when a test wants it to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

from ..aio import cancel

_CHUNK = 1 << 16
_END = b""


class Line:
    """Takes connections on its `host` and `port`, within ``async with``, and carries them to another server.

    A *request* is what a client sends on one connection until the server answers. The line knows no protocol.
    """

    #: Where clients connect.
    host = "127.0.0.1"
    port = 0

    def __init__(self, host: str, port: int, *, rewrite: Callable[[bytes], bytes] = bytes) -> None:
        """To the server at `host` and `port`; `rewrite` changes what it answers."""
        #: Seconds by which requests are late. Answers come at once.
        self.delay = 0.0
        #: How many requests have been sent so far.
        self.requests = 0
        self._server = (host, port)
        self._rewrite = rewrite
        self._listener: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._is_open = asyncio.Event()
        self._is_open.set()
        #: The request to hold, or whose answer to hold: its number, or bytes that it contains; -1: none.
        self._request_to_hold: int | bytes = -1
        self._answer_to_hold: int | bytes = -1
        #: The connection on which something is held, or was.
        self._holder: _Connection | None = None
        self._is_held = asyncio.Event()
        self._may_go_on = asyncio.Event()
        self._is_delivered = asyncio.Event()

    async def __aenter__(self) -> Self:
        # Keeps the port ours while nobody listens.
        self._reservation = _bound(self.host, 0)
        self.port = self._reservation.getsockname()[1]
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close_listener()
        self._reservation.close()
        await cancel([connection.task for connection in self._connections])

    @property
    def connections(self) -> int:
        """How many connections clients have open."""
        return sum(connection.is_with_client for connection in self._connections)

    async def refuse(self) -> None:
        """Break all connections, and refuse others, until :meth:`mend`."""
        self._close_listener()
        await self.cut()

    async def cut(self) -> None:
        """Break all connections; what is held gets lost. Others can be made."""
        await cancel([connection.task for connection in self._connections])
        self._forget_what_is_held()

    def freeze(self) -> None:
        """Take connections, and carry nothing, either way, until :meth:`mend`. Then all of it arrives, late."""
        self._is_open.clear()

    def freeze_connections(self) -> None:
        """Carry nothing more on the connections that there are. Others can be made, and work."""
        for connection in self._connections:
            connection.is_dead = True

    async def mend(self) -> None:
        """Take connections and carry again."""
        self._is_open.set()
        if self._listener is None:
            await self._listen()

    def hold_request(self, which: int | bytes) -> None:
        """Hold a request until :meth:`deliver`: that of this number from now, 1 for the next; or from these bytes on.

        The client may give up meanwhile: the request arrives nevertheless.
        """
        self._forget_what_is_held()
        self._request_to_hold = self._awaited(which)

    def hold_answer(self, which: int | bytes) -> None:
        """Hold the answer to such a request, which arrives, until :meth:`deliver`."""
        self._forget_what_is_held()
        self._answer_to_hold = self._awaited(which)

    async def held(self) -> None:
        """Wait until the request or the answer is there and held."""
        await self._is_held.wait()

    async def deliver(self) -> None:
        """Deliver what is held. Returns when the server has answered the request, or has closed its connection."""
        self._may_go_on.set()
        await self._is_delivered.wait()

    def _awaited(self, which: int | bytes) -> int | bytes:
        return self.requests + which if isinstance(which, int) else which

    def _place(self, number: int, data: bytes) -> int | None:
        """Where in `data`, of the request of this number, it is to be held; None: nowhere."""
        if isinstance(self._answer_to_hold, bytes) and self._answer_to_hold in data:
            self._answer_to_hold = number
        if isinstance(self._request_to_hold, bytes) and (place := data.find(self._request_to_hold)) >= 0:
            self._request_to_hold = number
            return place
        return 0 if number == self._request_to_hold and not self._is_held.is_set() else None

    def _forget_what_is_held(self) -> None:
        self._request_to_hold = self._answer_to_hold = -1
        self._holder = None
        for event in (self._is_held, self._may_go_on, self._is_delivered):
            event.clear()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._take, sock=_bound(self.host, self.port))

    def _close_listener(self) -> None:
        if self._listener:
            self._listener.close()
        self._listener = None

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        connection = _Connection(self, task)
        self._connections.add(connection)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await connection.carry(reader, writer)
        finally:
            self._connections.discard(connection)
            writer.transport.abort()

    async def _hold(self, holder: _Connection) -> None:
        self._holder = holder
        self._is_held.set()
        await self._may_go_on.wait()


class _Connection:
    """One connection, from a client to the server."""

    def __init__(self, line: Line, task: asyncio.Task[None]) -> None:
        self.task = task
        self.is_dead = False
        self.is_with_client = True
        self._line = line
        #: The number of the request that was sent last.
        self._number = 0
        self._is_answered = True
        self._never = asyncio.Event()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry until the client has gone, and the server has closed the connection."""
        sent: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        await _together(self._receive(reader, sent), self._reach(sent, writer))

    async def _reach(self, sent: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        await self._pass()
        far_reader, far_writer = await asyncio.open_connection(*self._line._server)
        try:
            await _together(self._send(sent, far_writer), self._answer(far_reader, writer))
        finally:
            far_writer.transport.abort()

    async def _receive(self, reader: asyncio.StreamReader, sent: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while data := await _read(reader):
            sent.put_nowait((loop.time() + self._line.delay, data))
        self.is_with_client = False
        sent.put_nowait((loop.time() + self._line.delay, _END))

    async def _send(self, sent: asyncio.Queue[tuple[float, bytes]], far_writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        line = self._line
        while True:
            due, data = await sent.get()
            await asyncio.sleep(due - loop.time())
            await self._pass()
            if data and self._is_answered:
                self._is_answered = False
                line.requests += 1
                self._number = line.requests
            if (place := line._place(self._number, data)) is not None:
                far_writer.write(data[:place])
                data = data[place:]
                await line._hold(self)
            if not data:
                break
            far_writer.write(data)
        with suppress(OSError):
            far_writer.write_eof()

    async def _answer(self, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = self._line
        while True:
            data = await _read(far_reader)
            await self._pass()
            if self._number == line._answer_to_hold:
                await line._hold(self)
            self._is_answered = True
            if data:
                writer.write(line._rewrite(data))
            if line._holder is self and (line._may_go_on.is_set() or not data):
                line._is_delivered.set()
            if not data:
                break
        with suppress(OSError):
            writer.write_eof()

    async def _pass(self) -> None:
        await self._line._is_open.wait()
        if self.is_dead:
            await self._never.wait()


async def _together(*parts: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        await cancel(tasks)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """What comes next; nothing if the connection has ended, or broken."""
    try:
        return await reader.read(_CHUNK)
    except OSError:
        return _END


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound
