"""Listens to what a hub tells of each commit, and to the triggers that tell of others' changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import asyncpg

from jhub_kvproxy import BackendUnavailable, Told

from ._postgres_access import PROBE, Access
from ._postgres_client import Client, end
from ._postgres_errors import translated
from ._postgres_schema import Schema

#: A notification has less than 8000 bytes.
_MOST_BYTES = 7900
#: So many keys are remembered for who is slow to ask. Who is slower than that loads.
_MOST_KEYS = 2000


def message(changes: Mapping[str, str | None]) -> str:
    """What tells of `changes`; empty if they are too many: then it only tells that there are some."""
    if sum(len(key) + len(value or "") for key, value in changes.items()) > _MOST_BYTES:
        return ""
    text = json.dumps(dict(changes), ensure_ascii=False, separators=(",", ":"))
    return text if len(text.encode()) < _MOST_BYTES else ""


async def changes(
    client: Client, access: Access, schema: Schema, prefix: str, *, patience: float
) -> AsyncGenerator[Told | None]:
    """Yield None when the watch has begun, then what has changed: whole commits; None if that is not known.

    Raises BackendUnavailable when changes may have been missed.
    """
    place = client.place
    connection = await client.connect()
    try:
        heard = _Heard()
        connection.add_termination_listener(heard.end)
        with translated(place):
            async with asyncio.timeout(patience):
                await access.prepare(connection)
                await connection.add_listener(schema.channel(prefix), heard.hear)
                known = await connection.fetchrow(PROBE, schema.name)
        yield None
        while True:
            with translated(place):
                while not await heard.anything(patience):
                    # A connection that is dead says nothing, either.
                    async with asyncio.timeout(patience):
                        now = await connection.fetchrow(PROBE, schema.name)
                    if now != known:
                        raise BackendUnavailable(
                            f"PostgreSQL at {place} does not tell of changes on this connection: the tables were made "
                            "anew, or a pooler gave it another session."
                        )
            if connection.is_closed():
                raise BackendUnavailable(f"The connection to PostgreSQL at {place} that tells of changes has ended.")
            yield heard.taken()
    finally:
        await end(connection)


class _Heard:
    """What was told since somebody took it."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._changes: dict[str, str | None] | None = {}

    def hear(self, _connection: Any, _pid: int, _channel: str, text: Any) -> None:
        """Take a notification: all changes of one commit."""
        told = _read(text)
        if told is None or self._changes is None or len(self._changes) + len(told) > _MOST_KEYS:
            self._changes = None
        else:
            self._changes |= told
        self._wake.set()

    def end(self, _connection: asyncpg.Connection) -> None:
        """Take the end of the connection."""
        self._wake.set()

    async def anything(self, patience: float) -> bool:
        """Wait for so many seconds at most; whether there is something to take, or the connection has ended."""
        try:
            async with asyncio.timeout(patience):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def taken(self) -> Told | None:
        """What has changed; None if that is not known."""
        self._wake.clear()
        changes, self._changes = self._changes, {}
        return changes


def _read(text: Any) -> dict[str, str | None] | None:
    """The changes in a notification; None if it does not say, or is not a hub's."""
    try:
        changes = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    is_ours = isinstance(changes, dict) and all(value is None or isinstance(value, str) for value in changes.values())
    return changes if is_ours else None
