"""Connections to a Redis, for commands and transactions, or for messages that it sends by itself."""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from jhub_kvproxy import BackendError, BackendUnavailable

from ._redis_errors import Peer, Transient, translate
from ._redis_url import Address

C = TypeVar("C", bound="_Conversation")

Command = tuple[str | bytes | int, ...]


class OptionRefused(Exception):
    """The server does not let us set an option. It has made no part of the transaction."""


class _Conversation(ABC):
    """A connection with one user at a time."""

    def __init__(self, redis: Redis, peer: Peer, limit: float) -> None:
        self.place = peer.place
        self._redis = redis
        self._peer = peer
        self._limit = limit

    @abstractmethod
    async def start(self) -> None:
        """Connect, and log in."""

    @abstractmethod
    async def try_to(self, *command: str | bytes | int, is_long: bool = False) -> Any:
        """The reply to `command`, which may be a refusal (ResponseError)."""

    async def ask(self, *command: str | bytes | int, is_long: bool = False) -> Any:
        """The reply to `command`. Raises our error if the server refuses it."""
        return self.accepted(await self.try_to(*command, is_long=is_long))

    async def close(self) -> None:
        with suppress(RedisError, OSError):
            await self._redis.aclose(close_connection_pool=True)

    def accepted(self, reply: Any) -> Any:
        """`reply`, unless it is a refusal: that is raised as our error."""
        if isinstance(reply, ResponseError):
            raise self.error_for(reply)
        return reply

    def error_for(self, reply: ResponseError) -> BackendError:
        """Our error for a refusal."""
        return translate(reply, self._peer)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError, UnicodeEncodeError) as error:
            ours = translate(error, self._peer)
            raise ours from ours.__cause__


class Session(_Conversation):
    """Sends commands over one connection.

    A transaction is :meth:`begin` and :meth:`commit`, two round trips, not a pipeline of redis-py (docs/adr/0001 says
    why). An error ends the session, which also ends the transaction: redis-py would connect again, and the server would
    know nothing of MULTI.
    """

    #: Whether we have checked our permissions.
    is_checked = False

    async def start(self) -> None:
        await self._redis.initialize()

    async def try_to(self, *command: str | bytes | int, is_long: bool = False) -> Any:
        """The reply to `command`, which may be a refusal. With `is_long`, there is no limit for this reply alone."""
        with self._translated():
            try:
                async with asyncio.timeout(None if is_long else self._limit):
                    return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call,unused-ignore]
            except ResponseError as refusal:
                return refusal

    async def try_all(self, commands: Iterable[Command], *, is_last_long: bool = False) -> list[Any]:
        """The replies to `commands`, which go out together, as the server sends them; each may be a refusal.

        With `is_last_long`, there is no limit for the last reply alone.
        """
        connection = self._redis.connection
        assert connection
        count, replies = 0, []
        with self._translated():
            for command in commands:
                async with asyncio.timeout(self._limit):
                    await connection.send_command(*command)
                count += 1
                await asyncio.sleep(0)  # packing all at once would keep other tasks waiting
            for number in range(1, count + 1):
                try:
                    async with asyncio.timeout(None if is_last_long and number == count else self._limit):
                        replies.append(await connection.read_response())
                except ResponseError as refusal:
                    replies.append(refusal)
                await asyncio.sleep(0)
        return replies

    async def ask_all(self, commands: Iterable[Command]) -> list[Any]:
        """The replies to `commands`, which go out together. Raises our error for the first that is refused."""
        return [self.accepted(reply) for reply in await self.try_all(commands)]

    async def begin(self, watched: Sequence[str], *questions: Command) -> list[Any]:
        """Begin a transaction that is made only if no key of `watched` changes until then.

        Returns the replies to `questions`, which are asked after the watch began; each may be a refusal. All this goes
        out together. The commands of the transaction must not: a server that refuses MULTI makes what follows it.
        """
        watch: list[Command] = [("WATCH", *watched)] if watched else []
        replies = await self.try_all([*watch, *questions, ("MULTI",)])
        for reply in (*replies[: len(watch)], replies[-1]):
            self.accepted(reply)
        return replies[len(watch) : -1]

    async def commit(self, commands: Iterable[Command]) -> list[Any] | None:
        """Make `commands` as the transaction that has begun. Returns their replies; None if a watched key has changed.

        Nothing is changed then, nor if the server refuses a command: EXEC, which comes with them, fails after a
        refusal. That raises :class:`OptionRefused` for CONFIG, and our error for others. Raises BackendUnavailable when
        the outcome is unknown.
        """
        names = []

        def noted() -> Iterator[Command]:
            for command in commands:
                names.append(command[0])
                yield command

        try:
            *queued, replies = await self.try_all(chain(noted(), [("EXEC",)]), is_last_long=True)
        except Transient as error:
            raise BackendUnavailable(f"{error} Whether the change was made is not known.") from error.__cause__
        for name, reply in zip(names, queued, strict=True):
            if isinstance(reply, ResponseError) and isinstance(replies, ResponseError):
                raise OptionRefused if name == "CONFIG" else self.error_for(reply)
        self.accepted(replies)
        for reply in (*queued, *(replies or ())):
            if isinstance(reply, ResponseError):
                # The server had accepted the command, and failed to run it. Redis does not roll back the others.
                raise BackendUnavailable(f"Only a part of the change was made. {self.error_for(reply)}") from reply
        return replies  # type: ignore[no-any-return]

    async def close(self) -> None:
        if self._redis.connection:
            # Without waiting for a server that may be frozen.
            await self._redis.connection.disconnect(nowait=True)
        await super().close()


class Listener(_Conversation):
    """Receives messages that the server sends by itself."""

    async def start(self) -> None:
        self._pubsub = self._redis.pubsub()
        await self._pubsub.connect()  # type: ignore[no-untyped-call,unused-ignore]

    async def try_to(self, *command: str | bytes | int, is_long: bool = False) -> Any:
        await self.send(*command)
        with self._translated():
            try:
                reply = await self._pubsub.parse_response(block=is_long, timeout=self._limit)
            except ResponseError as refusal:
                return refusal
        if reply is None:
            raise Transient(f"{self.place} did not answer in time.")
        return reply

    async def send(self, *command: str | bytes | int) -> None:
        """Send `command`, whose reply comes as a :meth:`message`."""
        with self._translated():
            await self._pubsub.execute_command(*command)

    async def message(self, limit: float) -> Any:
        """The next message; None if there is none for `limit` seconds."""
        with self._translated():
            return await self._pubsub.parse_response(block=False, timeout=limit)

    async def close(self) -> None:
        with suppress(RedisError, OSError):
            await self._pubsub.aclose()  # type: ignore[no-untyped-call,unused-ignore]
        await super().close()


async def connect(
    kind: type[C], address: Address, peer: Peer, *, tls: ssl.SSLContext | None, limit: float, connect_limit: float
) -> C:
    """A session or listener with the server at `address`, within `connect_limit` seconds; `limit` is for each reply."""
    redis = Redis(connection_pool=_pool(address, tls, connect_limit), single_connection_client=True)
    conversation = kind(redis, replace(peer, is_new=False), limit)
    try:
        async with asyncio.timeout(connect_limit):
            await conversation.start()
    except BaseException as error:
        await conversation.close()
        if not isinstance(error, (RedisError, OSError)):
            raise
        ours = translate(error, peer)
        raise ours from ours.__cause__
    return conversation


def _pool(address: Address, tls: ssl.SSLContext | None, limit: float) -> ConnectionPool:
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username or None,
        "password": address.password or None,
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": limit,
        # For no error at all: before it gives up, redis-py would connect again, without a time limit.
        "retry": Retry(NoBackoff(), 0, supported_errors=()),
    }
    if address.path:
        return ConnectionPool(UnixDomainSocketConnection, path=address.path, **options)
    options |= {"host": address.host, "port": address.port, "socket_keepalive": True}
    if address.tls:
        return ConnectionPool(_TLSConnection, tls=tls, **options)
    return ConnectionPool(Connection, **options)


class _TLSConnection(SSLConnection):
    """Uses certificates that were read before, off the event loop (docs/adr/0001)."""

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = tls
