"""Hears of changes to keys, by Redis's invalidation messages (Redis docs, "Client-side caching": broadcasting mode).

Unlike keyspace events they need no option, come once for all keys of a transaction, and tell of FLUSHALL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from jhub_kvproxy import BackendUnavailable

from ._redis_client import Client
from ._redis_errors import Passing
from ._redis_session import Session

_CHANNEL = "__redis__:invalidate"


async def changes_of(client: Client, *prefixes: str) -> AsyncIterator[None]:
    """Yield at once, then after changes of keys whose names begin with one of `prefixes`.

    Raises BackendUnavailable when some may have been missed.
    """
    try:
        async with client.session() as session:
            await _begin(session, prefixes)
            changed = asyncio.Event()
            reader = asyncio.create_task(_read(session, changed, client.timeout / 2))
            reader.add_done_callback(lambda _: changed.set())
            try:
                while not reader.done():
                    changed.clear()
                    yield
                    await changed.wait()
                reader.result()
            finally:
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
    except Passing as error:
        raise BackendUnavailable(f"{error} Changes may have been missed.") from error.__cause__


async def _begin(session: Session, prefixes: tuple[str, ...]) -> None:
    (number,) = await session.ask(("CLIENT", "ID"))
    options = [word for prefix in prefixes for word in ("PREFIX", prefix)]
    await session.ask(
        ("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", *options),
        ("SUBSCRIBE", _CHANNEL),
    )


async def _read(session: Session, changed: asyncio.Event, patience: float) -> None:
    asked = False
    while True:
        message = await session.message(patience)
        if message is None:
            if asked:
                raise Passing(f"{session.place} did not answer in time.")
            await session.send("PING")
        elif message[0] == b"message":
            changed.set()
        asked = message is None
