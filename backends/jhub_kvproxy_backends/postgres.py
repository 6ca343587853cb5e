"""The routing table in PostgreSQL, such as the one that JupyterHub has already."""

from __future__ import annotations

import importlib
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

from traitlets import Float, Unicode, default

from jhub_kvproxy import (
    Backend,
    BackendRejected,
    BackendUnavailable,
    Batch,
    LeaseReport,
    Snapshot,
    Told,
    in_thread,
)

from ._postgres_schema import Schema
from ._postgres_url import Address, is_postgres, parse_url

if TYPE_CHECKING:
    from ._postgres_store import PostgresStore


class PostgresBackend(Backend):
    """Keeps the table in a schema of its own in a PostgreSQL 14 or newer.

    ``keys``
        The keys of all hubs that use the schema, a row each.
    ``leases``
        Which hubs may write, if writers asked for that.
    ``recent``
        The last changes, for whoever watches the table.
    """

    contract = 2
    # They must reach the server before it gives up to wait within a transaction, after two seconds: also over a line
    # of 2 Mbit/s. And they are packed at once, which must not take the event loop for long.
    max_txn_bytes = 256 * 1024

    url = Unicode(
        config=True,
        help="""
        Where PostgreSQL is, and as whom to log in: `postgresql://USER@HOST:PORT/DATABASE`.

        It may have several `HOST:PORT` with commas between, of which that one is used which takes changes, and libpq's
        parameters: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `passfile`, `target_session_attrs`, and `host` for
        the directory of a unix socket. What it leaves out is taken from PGHOST and its like.

        By default, that of the hub's own database, `JupyterHub.db_url`, if it is a PostgreSQL.
        """,
    )
    password = Unicode(
        config=True,
        help="""
        Password of the role in `url`.

        Default: the environment variable KVPROXY_POSTGRES_PASSWORD. Without one, it is that in `url`, in PGPASSWORD, or
        in the password file.
        """,
    )
    schema = Unicode(
        "kvproxy",
        config=True,
        help="""
        Schema of the tables. The hub makes it when it is missing.

        Hubs can share one, if they have different prefixes.
        """,
    )
    timeout = Float(10.0, config=True, help="Seconds that one call to the store may take, retries included.")

    _store: PostgresStore | None = None

    @default("url")
    def _default_url(self) -> str:
        url = self.config.get("JupyterHub", {}).get("db_url", "")
        return url if is_postgres(url) else ""

    @default("password")
    def _default_password(self) -> str:
        return os.environ.get("KVPROXY_POSTGRES_PASSWORD", "")

    async def open(self) -> None:
        if self._store:
            await self._store.renew()
            return
        address, schema = self._address(), Schema(self.schema)
        # In a thread: to load the library takes long.
        module = await in_thread(_load)
        store: PostgresStore = module.PostgresStore(
            address, schema, self.prefix, timeout=self.timeout, read_only=self.read_only
        )
        try:
            await store.open()
        except BaseException:
            await store.close()
            raise
        self._store = store

    async def close(self) -> None:
        store, self._store = self._store, None
        if store:
            await store.close()

    async def apply(self, batch: Batch) -> None:
        self.check_writable()
        await self._opened.apply(batch.changes)

    async def load(self) -> Snapshot:
        return Snapshot(await self._opened.load())

    async def remove(self) -> None:
        self.check_writable()
        await self._opened.remove()

    def watch(self) -> AsyncGenerator[Told | None]:
        return self._opened.watch()

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        self.check_writable()
        await self._opened.acquire_lease(holder, ttl)

    async def release_lease(self) -> None:
        if self._store:
            await self._store.release_lease()

    async def read_lease(self) -> LeaseReport | None:
        return await self._opened.read_lease()

    @property
    def _opened(self) -> PostgresStore:
        if self._store is None:
            raise BackendUnavailable("PostgresBackend is not open.")
        return self._store

    def _address(self) -> Address:
        if not self.url:
            raise BackendRejected(
                "PostgresBackend.url is not set, and JupyterHub.db_url is not that of a PostgreSQL; write it like "
                "postgresql://USER@HOST:PORT/DATABASE."
            )
        address = parse_url(self.url, os.environ)
        return replace(address, password=self.password or address.password)


def _load() -> ModuleType:
    try:
        return importlib.import_module("._postgres_store", __package__)
    except ImportError as error:
        raise BackendRejected(
            'The PostgreSQL backend needs a library that is missing; install it: pip install "jhub-kvproxy[postgres]"'
        ) from error
