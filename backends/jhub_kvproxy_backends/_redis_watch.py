"""Watches keys by Redis's invalidation messages (Redis docs, "Client-side caching": broadcasting mode).

Unlike keyspace events, these need no option, come once for all keys of a transaction, and tell of FLUSHALL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from jhub_kvproxy import BackendUnavailable, cancel

from ._redis_client import Client
from ._redis_errors import Transient
from ._redis_session import Listener

_CHANNEL = "__redis__:invalidate"


async def changes_of(client: Client, *prefixes: str) -> AsyncGenerator[None]:
    """Yield at once, then after changes of keys whose names begin with one of `prefixes`.

    Raises BackendUnavailable when some may have been missed.
    """
    try:
        async with client.listener() as listener:
            await _begin(listener, prefixes)
            changed = asyncio.Event()
            reader = asyncio.create_task(_read(listener, changed, client.timeout / 2))
            reader.add_done_callback(lambda _: changed.set())
            try:
                while not reader.done():
                    changed.clear()
                    yield
                    await changed.wait()
                reader.result()
            finally:
                await cancel([reader])
    except Transient as error:
        raise BackendUnavailable(f"{error} Changes may have been missed.") from error.__cause__


async def _begin(listener: Listener, prefixes: tuple[str, ...]) -> None:
    number = await listener.ask("CLIENT", "ID")
    options = [word for prefix in prefixes for word in ("PREFIX", prefix)]
    await listener.ask("CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", *options)
    await listener.ask("SUBSCRIBE", _CHANNEL)


async def _read(listener: Listener, changed: asyncio.Event, patience: float) -> None:
    asked = False
    while True:
        message = await listener.message(patience)
        if message is None:
            if asked:
                raise Transient(f"{listener.place} did not answer in time.")
            await listener.send("PING")
        elif message[0] == b"message":
            changed.set()
        asked = message is None
