"""The Redis backend, when its library is there: puts table, lease and events together."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from redis.exceptions import ResponseError

from jhub_kvproxy import BackendError, Backoff, LeaseReport, Told

from ._redis_client import Client
from ._redis_events import Events
from ._redis_lease import Lease
from ._redis_server import acl, check, check_reader, reader_acl
from ._redis_session import OptionRefused, Session
from ._redis_table import Table
from ._redis_url import Address
from ._redis_watch import changes_of


class RedisStore:
    """A table below `root`, in the database at `address`; the methods are those of Backend."""

    def __init__(
        self,
        address: Address,
        sentinels: Sequence[Address],
        master: str,
        *,
        root: str,
        tls: ssl.SSLContext | None,
        timeout: float,
        read_only: bool,
        log: Any,
    ) -> None:
        rules = reader_acl(root) if read_only else acl(root, address.db)
        self._client = Client(address, sentinels, master, tls=tls, timeout=timeout, acl=rules)
        self._read_only = read_only
        self._table = Table(root, address.db)
        self._lease = Lease(root)
        self._events = Events(self._client, root, address.db, log)
        self._log = log
        # Whether the server may still make a change of ours later: one whose answer did not come.
        self._in_doubt = True

    async def open(self) -> None:
        await self._client.run(self._open)

    async def close(self) -> None:
        if self._lease.is_wanted:
            with suppress(BackendError):  # the lease expires by itself
                async with self._client.session() as session:
                    await self._lease.release(session)
        await self._client.close()

    async def apply(self, changes: Mapping[str, str | None]) -> None:
        await self._client.run(partial(self._apply, changes))

    async def load(self) -> dict[str, str]:
        return await self._client.run(self._load)

    async def remove(self) -> None:
        """Remove the rest of a table, after its keys are gone."""
        await self._client.run(lambda session: session.ask(*self._table.removal))

    def watch(self) -> AsyncGenerator[Told | None]:
        return changes_of(self._client, self._table)

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        await self._client.run(lambda session: self._lease.acquire(session, holder, ttl))

    async def release_lease(self) -> None:
        if self._lease.is_wanted:
            await self._client.run(self._lease.release)

    async def read_lease(self) -> LeaseReport | None:
        return await self._client.run(self._lease.report)

    async def _open(self, session: Session) -> None:
        if self._read_only:
            await check_reader(session, self._table)
        else:
            await check(session, self._table, self._lease, self._events, self._log)

    async def _end_doubt(self, session: Session) -> None:
        if self._in_doubt:
            # A server that refuses this now would refuse the late change, too.
            replies = await session.try_all(self._table.barrier_commands)
            self._in_doubt = any(isinstance(reply, ResponseError) for reply in replies)

    async def _load(self, session: Session) -> dict[str, str]:
        if not self._read_only:
            await self._end_doubt(session)
        return await self._table.read(session)

    async def _apply(self, changes: Mapping[str, str | None], session: Session) -> None:
        await self._end_doubt(session)
        table, lease, events = self._table, self._lease, self._events
        for_traefik = table.concerns_traefik(changes)
        if for_traefik:
            await events.check(session)
        backoff = Backoff(0.01, 0.1, spread=1.0)
        while True:
            questions = [lease.question, *table.questions, *(events.questions if for_traefik else ())]
            replies = await session.begin([*table.watched, lease.key], *questions)
            is_new = not table.exists(session, replies[1:3])
            lease.check(session, replies[0])
            before, after = events.commands_around(replies[3:]) if for_traefik else ([], [])
            self._in_doubt = True
            try:
                done = await session.commit(chain(before, table.writes(changes, is_new=is_new), after))
            except OptionRefused:
                events.give_up_setting(session.place)
                continue
            self._in_doubt = False
            if done is not None:
                return
            # Another writer was quicker.
            await backoff.rest()
