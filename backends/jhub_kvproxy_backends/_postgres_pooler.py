"""Finds out what session is behind a connection, and whether a pooler lends it to others. Leaves no trace in it."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from jhub_kvproxy import BackendRejected

# COPY is a simple query. Any other way to ask for a row would leave a prepared statement.
_ASK = """
    SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(),
        pg_catalog.current_setting('transaction_read_only'),
        pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a server."""

    pid: int
    is_standby: bool
    is_read_only: bool
    #: When that server was started, to the microsecond: so another one has another, also behind the same address.
    server: str


async def session_of(connection: asyncpg.Connection) -> Session:
    """The session that answers on `connection` now."""
    told: list[bytes] = []

    async def take(data: bytes) -> None:
        told.append(data)

    await connection.copy_from_query(_ASK, output=take)
    pid, is_standby, is_read_only, server = b"".join(told).decode().split()
    return Session(int(pid), is_standby == "t", is_read_only == "on", server)


async def check_lends_none(connection: asyncpg.Connection, other: asyncpg.Connection, place: str) -> None:
    """Raise BackendRejected if a pooler lends the session of `connection` to others, such as `other`.

    Then nobody hears of changes: what listens is a session.
    """
    # One that is idle is lent to whoever comes next; another client may have been quicker.
    pids = [(await session_of(each)).pid for each in (connection, other, connection, other)]
    if pids[0] != pids[2] or pids[1] != pids[3] or pids[0] == pids[1]:
        raise BackendRejected(
            f"PostgreSQL at {place} is reached through a pooler that gives each transaction another session, as "
            "pgbouncer does with pool_mode = transaction: nobody would hear of changes. Use pool_mode = session for "
            "this database and role, or let PostgresBackend.url name PostgreSQL itself."
        )
