"""Watches the table: a notification rings, and what has changed is then read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from jhub_kvproxy import BackendError, BackendUnavailable, Told

from ._postgres_access import Access
from ._postgres_client import Client, drop, end
from ._postgres_errors import translated
from ._postgres_recent import look, look_arguments, seen
from ._postgres_schema import Schema


async def changes(
    client: Client, access: Access, schema: Schema, prefix: str, *, patience: float
) -> AsyncGenerator[Told | None]:
    """Yield None when the watch has begun, then what has changed: whole commits; None if that is not known.

    Raises BackendUnavailable when changes may have been missed. Any role of the database can send a notification: so
    nothing in it counts.
    """
    place = client.place
    connection = await client.connect(patience)
    statement, arguments = look(schema), look_arguments(prefix)
    bell = asyncio.Event()

    def ring(*_: Any) -> None:
        bell.set()

    connection.add_termination_listener(ring)
    try:
        with translated(place):
            async with asyncio.timeout(patience):
                await access.prepare(connection)
                await connection.add_listener(schema.channel(prefix), ring)
                row = await connection.fetchrow(statement, *arguments)
        yield None
        while True:
            # A connection that is dead says nothing, either. So we look by the clock, too.
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await bell.wait()
            if connection.is_closed():
                raise BackendUnavailable(f"The connection to PostgreSQL at {place} that tells of changes has ended.")
            bell.clear()
            before = row
            with translated(place):
                async with asyncio.timeout(patience):
                    row = await connection.fetchrow(statement, *arguments)
            if (row["session"], row["keys"]) != (before["session"], before["keys"]):
                raise BackendUnavailable(
                    f"PostgreSQL at {place} does not tell of changes on this connection: the tables were made anew, or "
                    "a pooler gave it another session."
                )
            news = seen(row).since(seen(before))
            if news is None or news:
                yield news
    except BackendError:
        # There may be nobody to say good-bye to.
        await drop(connection)
        raise
    finally:
        await end(connection)
