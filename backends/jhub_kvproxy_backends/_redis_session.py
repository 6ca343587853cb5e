"""A conversation with a Redis over one connection: time limits, and no second EXEC."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from jhub_kvproxy import BackendError, BackendUnavailable

from ._redis_errors import Passing, Peer, translate
from ._redis_url import Address

Command = tuple[str | bytes | int, ...]

_PACKET = 64 * 1024


class OptionRefused(Exception):
    """The server does not let us set an option, so it has made no part of a transaction."""


class Session:
    """A connection that one conversation has for itself."""

    def __init__(self, connection: AbstractConnection, peer: Peer, limit: float) -> None:
        self.place = peer.place
        #: Whether we have looked what the server lets us do.
        self.is_checked = False
        self._connection = connection
        self._limit = limit
        self._peer = peer

    async def ask(self, *commands: Command, is_long: bool = False) -> list[Any]:
        """The replies to `commands`, sent together; `is_long` if they may take all the time that there is.

        Raises what a refusal means.
        """
        replies = await self._exchange(commands, None if is_long else self._limit)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise self.meaning(reply)
        return replies

    async def try_to(self, *commands: Command) -> list[Any]:
        """The replies to `commands`, sent together, with refusals (ResponseError) among them."""
        return await self._exchange(commands, self._limit)

    async def begin(self, *commands: Command) -> list[Any]:
        """The replies to `commands`, refusals among them; then a transaction has begun, for :meth:`transact`.

        It must have begun before its commands are sent: without permission for MULTI they would be made one by one.
        """
        *replies, begun = await self.try_to(*commands, ("MULTI",))
        if isinstance(begun, ResponseError):
            raise self.meaning(begun)
        return replies

    async def transact(self, commands: Iterable[Command]) -> list[Any] | None:
        """The replies to `commands`, made as one transaction; None: a watched key has changed, so nothing was made.

        Raises :class:`OptionRefused` for CONFIG, what a refusal means for other commands, and BackendUnavailable when
        the outcome is unknown.
        """
        names = []

        def all_commands() -> Iterable[Command]:
            for command in commands:
                names.append(str(command[0]))
                yield command
            yield ("EXEC",)

        try:
            *queued, executed = await self._exchange(all_commands(), None)
        except Passing as error:
            raise BackendUnavailable(f"{error} Whether the change was made is not known.") from error.__cause__
        for name, reply in zip(names, queued, strict=True):
            if isinstance(reply, ResponseError):
                if name == "CONFIG":
                    raise OptionRefused from reply
                raise self.meaning(reply)
        if isinstance(executed, ResponseError):
            raise self.meaning(executed)
        replies: list[Any] | None = executed
        for reply in replies or ():
            if isinstance(reply, ResponseError):
                # The server took the command, and then could not make it, without taking back the others.
                raise BackendUnavailable(f"Only a part of the change was made. {self.meaning(reply)}") from reply
        return replies

    def meaning(self, reply: ResponseError) -> BackendError:
        """What a refusal means."""
        return translate(reply, self._peer)

    async def message(self, limit: float) -> Any:
        """What the server says unasked; None when it says nothing for `limit` seconds."""
        try:
            return await self._connection.read_response(disable_decoding=True, timeout=limit)
        except (RedisError, OSError) as error:
            ours = translate(error, self._peer)
            raise ours from ours.__cause__

    async def send(self, *command: str) -> None:
        """Send `command`, whose reply comes as a :meth:`message`."""
        await self._exchange([command], self._limit, reads=False)

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def _exchange(self, commands: Iterable[Command], limit: float | None, *, reads: bool = True) -> list[Any]:
        try:
            async with asyncio.timeout(limit):
                count = await self._send(commands)
                return [await self._read() for _ in range(count if reads else 0)]
        except (RedisError, OSError, UnicodeEncodeError) as error:
            ours = translate(error, self._peer)
            raise ours from ours.__cause__

    async def _send(self, commands: Iterable[Command]) -> int:
        count = size = 0
        packet: list[bytes] = []
        for command in commands:
            packed = self._connection.pack_command(*command)
            packet += packed
            size += sum(map(len, packed))
            count += 1
            if size > _PACKET:
                await self._connection.send_packed_command(packet)
                packet, size = [], 0
                await asyncio.sleep(0)
        await self._connection.send_packed_command(packet)
        return count

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except ResponseError as refusal:
            return refusal


async def connect(address: Address, peer: Peer, *, tls: ssl.SSLContext | None, limit: float) -> Session:
    """A session with the server at `address`, logged in; nothing in it may take longer than `limit` seconds."""
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username or None,
        "password": address.password or None,
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
    }
    connection: AbstractConnection
    if address.path:
        connection = UnixDomainSocketConnection(path=address.path, **options)
    elif address.tls:
        connection = SSLConnection(host=address.host, port=address.port, socket_keepalive=True, **options)
        connection.ssl_context.context = tls  # made once, and off the event loop
    else:
        connection = Connection(host=address.host, port=address.port, socket_keepalive=True, **options)
    try:
        async with asyncio.timeout(limit):
            await connection.connect()  # type: ignore[no-untyped-call,unused-ignore]
    except BaseException as error:
        await connection.disconnect(nowait=True)
        if not isinstance(error, (RedisError, OSError)):
            raise
        ours = translate(error, peer)
        raise ours from ours.__cause__
    return Session(connection, replace(peer, is_new=False), limit)
