"""The routing table in PostgreSQL, such as the one that JupyterHub has already."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from traitlets import Float, Unicode, default

from jhub_kvproxy import BackendRejected

from ._library import LibraryBackend, load_module
from ._postgres_schema import Schema
from ._postgres_url import Address, is_postgres, parse_url

if TYPE_CHECKING:
    from ._postgres_store import PostgresStore


class PostgresBackend(LibraryBackend["PostgresStore"]):
    """Keeps the table in a schema of its own in a PostgreSQL 14 or newer.

    ``keys``
        The keys of all hubs that use the schema, a row each.
    ``leases``
        Which hubs may write, if writers asked for that.
    ``recent``
        The last changes, for whoever watches the table.
    """

    contract = 2
    # They must reach the server before it gives up to wait within a transaction, after 3.5 seconds: also over a line
    # of 2 Mbit/s on which everything comes two seconds late. And they are packed at once, which must not take the
    # event loop for long.
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

        It has lower-case letters, digits and underscores, and is not `public` or `information_schema`, nor begins with
        `pg_`: others keep tables there.

        Hubs can share one, if they have different prefixes.
        """,
    )
    timeout = Float(10.0, config=True, help="Seconds that one call to the store may take, retries included.")

    @default("url")
    def _default_url(self) -> str:
        url = self.config.get("JupyterHub", {}).get("db_url", "")
        return url if is_postgres(url) else ""

    @default("password")
    def _default_password(self) -> str:
        return os.environ.get("KVPROXY_POSTGRES_PASSWORD", "")

    async def new_store(self) -> PostgresStore:
        address, schema = self._address(), Schema(self.schema)
        module = await load_module("_postgres_store", "PostgreSQL", "postgres")
        store: PostgresStore = module.PostgresStore(
            address, schema, self.prefix, timeout=self.timeout, read_only=self.read_only
        )
        return store

    async def open(self) -> None:
        if self._store:
            await self._store.renew()
        else:
            await super().open()

    async def remove(self) -> None:
        self.check_writable()
        await self.opened.remove()

    def _address(self) -> Address:
        if not self.url:
            raise BackendRejected(
                "PostgresBackend.url is not set, and JupyterHub.db_url is not that of a PostgreSQL; write it like "
                "postgresql://USER@HOST:PORT/DATABASE."
            )
        address = parse_url(self.url, os.environ)
        return replace(address, password=self.password or address.password)
