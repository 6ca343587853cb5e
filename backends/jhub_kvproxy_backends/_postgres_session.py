"""Reads and transactions over one connection, which is renewed when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import asyncpg

from jhub_kvproxy import BackendError, BackendUnavailable, Backoff

from ._postgres_access import Access
from ._postgres_client import Client, drop
from ._postgres_errors import Locked, TakesNoChanges, Transient, translated

T = TypeVar("T")


class Ask(Protocol):
    """Makes a statement that was prepared, with these arguments; returns its rows."""

    async def __call__(self, statement: str, *arguments: Any) -> list[asyncpg.Record]: ...


Work = Callable[[Ask], Awaitable[T]]


class Session:
    """Calls to one PostgreSQL, each within `timeout` seconds; `writes` are the statements of its transactions.

    `lock` is the number of an advisory lock. Transactions that write hold it from their beginning. So when the outcome
    of a COMMIT is not known, whoever gets the lock next knows it: nothing of that transaction will be made any more.
    """

    def __init__(
        self,
        client: Client,
        access: Access,
        *,
        writes: Sequence[str],
        lock: int,
        timeout: float,
    ) -> None:
        self._client = client
        self._access = access
        self._timeout = timeout
        self._connection: asyncpg.Connection | None = None
        #: Prepared before a transaction begins. Within one, the server would wait after the first half of a statement
        #: for the other without a time limit, and keep the lock.
        self._prepared: dict[str, asyncpg.prepared_stmt.PreparedStatement] = {}
        self._writes = writes
        self._one_at_a_time = asyncio.Lock()
        #: Whether a COMMIT of ours may be on its way still, also one from before: of a process that ended, say.
        self._is_in_doubt = not access.read_only
        #: Why the last of those calls failed that waited for a lock, or for their turn behind one that did.
        self._locked: Locked | None = None
        self._begin = f"BEGIN; SELECT pg_advisory_xact_lock({lock})"

    async def one(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of a statement that is made by itself, and perhaps more than once."""
        return await self._run(lambda: self._one(statement, *arguments))

    async def each(self, work: Work[T]) -> T:
        """What `work` returns, which makes each statement by itself, and perhaps more than once."""
        return await self._run(lambda: work(self._one))

    async def write(self, work: Work[T]) -> T:
        """What `work` returns, which is made in a transaction. It may be called again, if nothing was changed.

        Raises BackendUnavailable, and no Transient, if the change may have been made.
        """
        return await self._run(lambda: self._write(work))

    async def open(self) -> None:
        """Connect, or if there is a connection, make again what others have removed."""
        await self._run(self._open)

    async def _run(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call`, which is repeated after a passing error; all within `timeout`, with the wait."""
        backoff = Backoff(0.02, 1.0, spread=0.5)
        failure: BackendUnavailable | None = None
        locked_before = self._locked
        tried = f"Tried for {self._timeout:g} s (PostgresBackend.timeout)."
        try:
            async with asyncio.timeout(self._timeout), self._one_at_a_time:
                while True:
                    try:
                        return await call()
                    except Transient as error:
                        failure = error
                        if isinstance(error, TakesNoChanges):
                            self._client.turn()
                    await backoff.rest()
        except Locked as error:
            self._locked = error
            raise
        except TimeoutError as error:
            if self._locked and self._locked is not locked_before:
                # A call before this one waited for a lock; so this got its turn too late to be told so itself.
                self._locked = Locked(str(self._locked))
                failure = failure or self._locked
            if failure:
                raise BackendUnavailable(f"{failure} {tried}") from failure.__cause__
            raise BackendUnavailable(f"PostgreSQL at {self._client.place} did not answer. {tried}") from error

    async def _open(self) -> None:
        is_new = self._connection is None or self._connection.is_closed()
        connection = await self._connected()
        if is_new:  # and prepared
            return
        try:
            with translated(self._client.place):
                await self._access.prepare(connection)
        except BaseException:
            await self._drop()
            raise

    async def _one(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await self._connected()
        try:
            with translated(self._client.place):
                if self._is_in_doubt:
                    await connection.execute(self._begin)
                    self._is_in_doubt = False
                    await connection.execute("ROLLBACK")
                await self._prepare(connection, [statement])
                return await self._ask(statement, *arguments)
        except BaseException:
            await self._drop()
            raise

    async def _write(self, work: Work[T]) -> T:
        connection = await self._connected()
        try:
            with translated(self._client.place):
                await self._prepare(connection, self._writes)
                await connection.execute(self._begin)
                self._is_in_doubt = False
                result = await work(self._ask)
                await self._commit(connection)
                return result
        except BaseException:
            # To wait for the answer to a ROLLBACK could take too long.
            await self._drop()
            raise

    async def _prepare(self, connection: asyncpg.Connection, statements: Sequence[str]) -> None:
        for statement in statements:
            if statement not in self._prepared:
                self._prepared[statement] = await connection.prepare(statement)

    async def _ask(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._prepared[statement].fetch(*arguments)  # type: ignore[no-any-return]

    async def _commit(self, connection: asyncpg.Connection) -> None:
        self._is_in_doubt = True
        try:
            with translated(self._client.place):
                await connection.execute("COMMIT")
        except BackendError as error:
            if not _is_rolled_back_by_then(error.__cause__):
                raise BackendUnavailable(f"{error} Whether the change was made is not known.") from error.__cause__
            self._is_in_doubt = False
            raise
        self._is_in_doubt = False

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            connection = self._connection = await self._client.connect(self._timeout)
            try:
                with translated(self._client.place):
                    await self._access.prepare(connection)
                self._prepared = {}
            except BaseException:
                await self._drop()
                raise
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await drop(connection)


def _is_rolled_back_by_then(error: BaseException | None) -> bool:
    """Whether the server had ended the transaction before a COMMIT came to it, which failed by `error`."""
    if error is None:
        return False
    # Two are raised before anything is sent: the server's last word had come already.
    return type(error) in (asyncpg.InterfaceError, asyncpg.InternalClientError) or any(
        isinstance(each, asyncpg.IdleInTransactionSessionTimeoutError) for each in (error, error.__cause__)
    )
