"""Connects to a Redis, or to the master that Sentinels name. Keeps connections, and retries."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from jhub_kvproxy import BackendError, BackendRejected, BackendUnavailable, Backoff

from ._redis_errors import Peer, Transient
from ._redis_session import C, Listener, Session, connect
from ._redis_url import Address

T = TypeVar("T")

_OPTIONS = "RedisBackend.username and RedisBackend.password (or the environment variable KVPROXY_REDIS_PASSWORD)"
_SENTINEL_OPTIONS = (
    "RedisBackend.sentinel_username and RedisBackend.sentinel_password "
    "(or the environment variable KVPROXY_REDIS_SENTINEL_PASSWORD)"
)
_SENTINEL_ACL = "+sentinel|get-master-addr-by-name"


class Client:
    """Opens sessions with the server at `address`, or with the master that one of the `sentinels` names.

    With `sentinels`, only the login, the database and TLS of `address` count. `acl` is for error messages: the rules
    that our user needs.
    """

    def __init__(
        self,
        address: Address,
        sentinels: Sequence[Address],
        master: str,
        *,
        tls: ssl.SSLContext | None,
        timeout: float,
        acl: str,
    ) -> None:
        self.timeout = timeout
        # For one reply. If a connection has died unnoticed, there must be time left for another, which takes two
        # replies: to the login, and to the choice of a database.
        self._limit, self._connect_limit = 0.5 * timeout, 0.8 * timeout
        self.place = f"The Redis master {master!r}" if sentinels else f"Redis at {address.endpoint}"
        self._address = address
        self._tls = tls
        self._acl = acl
        self._sentinels = list(sentinels)
        self._master_name = master
        self._idle: list[Session] = []
        self._listeners: set[Listener] = set()
        self._is_open = True

    async def close(self) -> None:
        """Close idle connections and listeners now, and the other connections as soon as they are idle."""
        self._is_open = False
        for listener in list(self._listeners):
            await listener.close()
        while self._idle:
            await self._idle.pop().close()

    async def run(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """The result of `work` with a session. It is run again after a passing error.

        Raises BackendUnavailable when `timeout` is over, not counting what a new connection took.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout
        backoff = Backoff(0.02, 1.0, spread=0.5)
        failure: Transient | None = None
        try:
            async with asyncio.timeout_at(deadline) as limit:
                while True:
                    began = loop.time()
                    try:
                        async with self.session() as session:
                            # Connecting to a slow server leaves too little time for the work.
                            limit.reschedule(deadline + loop.time() - began)
                            return await work(session)
                    except Transient as error:
                        failure = error
                    await backoff.rest()
        except TimeoutError as error:
            if failure:
                raise BackendUnavailable(
                    f"{failure} Tried for {self.timeout:g} s (RedisBackend.timeout)."
                ) from failure.__cause__
            raise BackendUnavailable(
                f"{self.place} did not answer within {self.timeout:g} s. If it is slow, raise RedisBackend.timeout."
            ) from error

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A connection for commands. A later session reuses it, unless this one ends with an error."""
        session = self._idle.pop() if self._idle else await self._connect(Session)
        try:
            yield session
        except BaseException:
            await session.close()
            raise
        if self._is_open:
            self._idle.append(session)
        else:
            await session.close()

    @asynccontextmanager
    async def listener(self) -> AsyncIterator[Listener]:
        """A connection for messages that the server sends by itself."""
        listener = await self._connect(Listener)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            await listener.close()

    async def _connect(self, kind: type[C]) -> C:
        if not self._sentinels:
            return await self._open(kind, self._address, self.place, _OPTIONS, self._acl)
        address = await self._master()
        connection = await self._open(kind, address, f"{self.place} at {address.endpoint}", _OPTIONS, self._acl)
        try:
            role, *_ = await connection.ask("ROLE")
            if role != b"master":
                raise Transient(f"{connection.place}, which the Sentinels name, is not a master now.")
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _master(self) -> Address:
        """The master's address, from the first Sentinel that knows it."""
        failure: BackendError | None = None
        for sentinel in list(self._sentinels):
            place = f"The Redis Sentinel at {sentinel.endpoint}"
            try:
                async with asyncio.timeout(self._limit / len(self._sentinels)):
                    session = await self._open(Session, sentinel, place, _SENTINEL_OPTIONS, _SENTINEL_ACL)
                    try:
                        found = await session.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master_name)
                    finally:
                        await session.close()
            except BackendError as error:
                failure = error
            except TimeoutError as error:
                failure = Transient(f"{place} did not answer in time.")
                failure.__cause__ = error
            else:
                if found:
                    host, port = found
                    return replace(self._address, host=host.decode(), port=int(port))
                failure = BackendRejected(
                    f"{place} knows no master named {self._master_name!r} (RedisBackend.sentinel_master)."
                )
            self._sentinels.append(self._sentinels.pop(0))
        assert failure
        raise failure from failure.__cause__

    async def _open(self, kind: type[C], address: Address, place: str, options: str, acl: str) -> C:
        user = f"the user {address.username!r}" if address.username else "the default user"
        peer = Peer(place, user, options, acl, address.tls)
        return await connect(kind, address, peer, tls=self._tls, limit=self._limit, connect_limit=self._connect_limit)
