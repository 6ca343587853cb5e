"""Watches the table by Redis's invalidation messages (Redis docs, "Client-side caching": broadcasting mode).

Unlike keyspace events, these need no option, come once for all keys of a transaction, and tell of FLUSHALL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from redis.exceptions import ResponseError

from jhub_kvproxy import BackendUnavailable, Told, cancel

from . import _redis_recent as recent
from ._redis_client import Client
from ._redis_errors import Transient
from ._redis_session import Listener
from ._redis_table import Table

_CHANNEL = "__redis__:invalidate"


async def changes_of(client: Client, table: Table) -> AsyncGenerator[Told | None]:
    """Yield None at once, then what has changed of `table`; None if that is not known.

    Raises BackendUnavailable when changes may have been missed, or when the client is closed.
    """
    try:
        async with client.listener() as listener:
            await _begin(listener, table.watched_prefix)
            heard = _Heard(table)
            reader = asyncio.create_task(_read(listener, heard, client.timeout / 2))
            reader.add_done_callback(heard.end)
            try:
                _, last = await _news(client, table, b"")
                yield None
                while True:
                    await heard.wake.wait()
                    heard.wake.clear()
                    if reader.done():
                        reader.result()
                    is_foreign, heard.is_foreign = heard.is_foreign, False
                    news, last = await _news(client, table, last)
                    if is_foreign or news is None:
                        yield None
                    elif news:
                        yield news
            finally:
                await cancel([reader])
    except Transient as error:
        raise BackendUnavailable(f"{error} Changes may have been missed.") from error.__cause__


class _Heard:
    """What the messages have said since we last looked."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.wake = asyncio.Event()
        #: Whether somebody has changed the table who does not tell what.
        self.is_foreign = False

    def hear(self, names: list[bytes] | None) -> None:
        """Take a message: the keys that were changed at one moment; None: all."""
        found = None if names is None else self._table.concerned(names)
        if found == set():
            return
        # What a hub changes, it tells in the same transaction.
        self.is_foreign = self.is_foreign or found is None or self._table.recent.encode() not in found
        self.wake.set()

    def end(self, reader: asyncio.Task[None]) -> None:
        """Take the end of the task that reads messages."""
        if not reader.cancelled():
            reader.exception()  # who looks next raises it, if anybody does
        self.wake.set()


async def _begin(listener: Listener, prefix: str) -> None:
    number = await listener.ask("CLIENT", "ID")
    await listener.ask("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", "PREFIX", prefix)
    await listener.ask("SUBSCRIBE", _CHANNEL)


async def _news(client: Client, table: Table, last: bytes) -> tuple[Told | None, bytes]:
    reply = await client.run(lambda session: session.try_to(*recent.query(table.recent, last)))
    if not isinstance(reply, ResponseError):
        return recent.news(reply, last)
    if "WRONGTYPE" not in str(reply):
        raise BackendUnavailable(f"{client.place} does not tell what has changed: {reply}.")
    return None, b""


async def _read(listener: Listener, heard: _Heard, patience: float) -> None:
    asked = False
    while True:
        message = await listener.message(patience)
        if message is None:
            if asked:
                raise Transient(f"{listener.place} did not answer in time.")
            await listener.send("PING")
        elif message[0] == b"message":
            heard.hear(message[2])
        asked = message is None
