"""The table of one prefix in PostgreSQL. Imported only when the backend is opened, since it needs a library."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress

from jhub_kvproxy import BackendError, LeaseReport, Told

from ._postgres_access import Access
from ._postgres_client import GOODBYE, Client
from ._postgres_commit import commit, commit_arguments
from ._postgres_errors import translated
from ._postgres_lease import Lease
from ._postgres_schema import HUBS, OTHERS, Schema, digest, lock_of
from ._postgres_session import Ask, Session
from ._postgres_url import Address
from ._postgres_watch import changes

#: Rows that are handled at once; the event loop stands still meanwhile.
_CHUNK = 2000


class PostgresStore:
    """The table of `prefix` in `schema`, over connections to `address`."""

    def __init__(self, address: Address, schema: Schema, prefix: str, *, timeout: float, read_only: bool) -> None:
        self._prefix = prefix
        self._schema = schema
        self._timeout = timeout
        self._client = Client(address, read_only=read_only)
        self._access = Access(schema, self._client.place, read_only=read_only)
        self._lease = Lease(schema, prefix, self._client.place)
        self._load = f"SELECT key, value FROM {schema.keys} WHERE {schema.of_prefix}"
        self._commit = commit(schema)
        self._remove = f"DELETE FROM {schema.keys} WHERE {schema.of_prefix}"
        self._forget = f"DELETE FROM {schema.recent} WHERE digest IN ($1, $2)"
        self._session = Session(
            self._client,
            self._access,
            writes=(*self._lease.writes, self._commit, self._remove, self._forget),
            lock=lock_of(f"{schema.name}/{prefix}"),
            timeout=timeout,
        )

    async def open(self) -> None:
        await self._client.prepare()
        await self._session.open()

    async def renew(self) -> None:
        """Make again what others have removed."""
        await self._session.open()

    async def close(self) -> None:
        """Release the lease, if that is possible, and end all connections. Calling it twice is harmless."""
        try:
            with suppress(BackendError, TimeoutError):  # the lease then expires by itself
                # Another call may be before it, and there are the good-byes to say.
                async with asyncio.timeout(max(self._timeout - GOODBYE, self._timeout / 2)):
                    await self.release_lease()
        finally:
            self._lease.forget()
            await self._client.close()

    async def apply(self, batch: Mapping[str, str | None]) -> None:
        with translated(self._client.place):
            arguments = commit_arguments(self._schema, self._prefix, batch, self._lease.arguments)

        async def work(ask: Ask) -> None:
            (found,) = await ask(self._commit, *arguments)
            self._lease.check(found)

        await self._session.write(work)

    async def load(self) -> dict[str, str]:
        rows = await self._session.one(self._load, self._prefix)
        keys: dict[str, str] = {}
        for start in range(0, len(rows), _CHUNK):
            keys.update(rows[start : start + _CHUNK])
            await asyncio.sleep(0)
        return keys

    async def remove(self) -> None:
        async def work(ask: Ask) -> None:
            await ask(self._remove, self._prefix)
            # The trigger has just noted that, for those who watch: that a row is gone tells them, too.
            await ask(self._forget, digest(self._prefix, HUBS), digest(self._prefix, OTHERS))

        await self._session.write(work)

    async def watch(self) -> AsyncGenerator[Told | None]:
        # A dead connection is noticed after twice the patience.
        told = changes(self._client, self._access, self._schema, self._prefix, patience=self._timeout / 2)
        async with aclosing(told):
            async for news in told:
                yield news

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        await self._session.each(lambda ask: self._lease.acquire(ask, holder, ttl))

    async def release_lease(self) -> None:
        if self._lease.is_wanted:
            await self._session.write(self._lease.release)
            self._lease.forget()

    async def read_lease(self) -> LeaseReport | None:
        return await self._lease.report(self._session.one)
