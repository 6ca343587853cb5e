"""Keeps the routing table in a SQLite database, and writes a file from it for Traefik, which cannot read SQLite."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from traitlets import Float, Unicode

from jhub_kvproxy import (
    Backend,
    BackendRejected,
    BackendUnavailable,
    Batch,
    BatchRejected,
    LeaseReport,
    Snapshot,
    Told,
    in_thread,
    unflatten,
    write_atomically,
)

from .lease import Lease

T = TypeVar("T")

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS keys (prefix TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (prefix, key))",
    "CREATE TABLE IF NOT EXISTS versions (prefix TEXT PRIMARY KEY, version INTEGER)",
    "CREATE TABLE IF NOT EXISTS leases (prefix TEXT PRIMARY KEY, token TEXT, holder TEXT, since REAL, expiry REAL)",
)
_WATCH_INTERVAL = 0.25

#: The error for the core, and the remedy for an admin, by SQLite's primary result code.
_ERRORS = {
    sqlite3.SQLITE_BUSY: (BackendUnavailable, "another process keeps it locked; find it with fuser"),
    sqlite3.SQLITE_FULL: (BackendUnavailable, "make room on its disk"),
    sqlite3.SQLITE_IOERR: (BackendUnavailable, "check its disk"),
    sqlite3.SQLITE_TOOBIG: (BatchRejected, "a value is longer than SQLite accepts"),
}
_OTHER_ERROR = (BackendRejected, "let the Hub's user write it; if it is damaged, restore it or move it away")


class SqliteBackend(Backend):
    """Keeps the tables of all prefixes in one database, ``<path>/table.sqlite``.

    Traefik reads ``<path>/<prefix>/routes.toml``. The backend writes this file after each commit, and
    again when it differs from the database.
    """

    contract = 2
    provider = "file"
    lists_at_once = True

    path = Unicode(
        "kvproxy-sqlite",
        config=True,
        help="Directory of the database and of Traefik's file, on a local disk; made if missing.",
    )
    timeout = Float(10.0, config=True, help="Seconds that a call may take, including the wait for another writer.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lease = Lease(self.prefix)
        self._times_closed = 0

    @property
    def database(self) -> Path:
        return Path(self.path).absolute() / "table.sqlite"

    @property
    def traefik_file(self) -> Path:
        return self.database.with_name(self.root) / "routes.toml"

    async def open(self) -> None:
        await self._in_thread(self._load if self.read_only else self._make)

    async def close(self) -> None:
        self._times_closed += 1  # ends the watches
        await self.release_lease()

    async def apply(self, batch: Batch) -> None:
        self.check_writable()
        await self._in_thread(lambda: self._apply(batch.changes))

    async def load(self) -> Snapshot:
        return Snapshot(await self._in_thread(self._load))

    async def remove(self) -> None:
        self.check_writable()
        await self._in_thread(self._remove)

    def traefik_provider_config(self) -> dict[str, Any]:
        return {"file": {"directory": str(self.traefik_file.parent), "watch": True}}

    def traefik_provider_secrets(self) -> dict[str, Any]:
        return {}

    def _make(self) -> None:
        for directory in (self.database.parent, self.traefik_file.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.database.touch(mode=0o600, exist_ok=False)
        with self._transaction() as database:
            for statement in _SCHEMA:
                database.execute(statement)

    def _apply(self, changes: Mapping[str, str | None]) -> None:
        deleted = [(self.prefix, key) for key, value in changes.items() if value is None]
        written = [(self.prefix, key, value) for key, value in changes.items() if value is not None]
        with self._transaction() as database:
            self._lease.check(database)
            database.executemany("DELETE FROM keys WHERE prefix = ? AND key = ?", deleted)
            database.executemany(
                "INSERT INTO keys VALUES (?, ?, ?)"
                " ON CONFLICT (prefix, key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
                written,
            )
            if database.total_changes:
                database.execute(
                    "INSERT INTO versions VALUES (?, 1) ON CONFLICT (prefix) DO UPDATE SET version = version + 1",
                    (self.prefix,),
                )
        self._load()

    def _load(self) -> dict[str, str]:
        """Return the table; write Traefik's file again if it differs."""
        with self._transaction() as database:
            keys = dict(database.execute("SELECT key, value FROM keys WHERE prefix = ?", (self.prefix,)))
            if self.read_only:
                return keys
            content = traefik_text(keys)
            if not self.traefik_file.exists() or self.traefik_file.read_bytes() != content:
                # Traefik reads all files in its directory at each event there, so the temporary file stands elsewhere.
                write_atomically(self.traefik_file, content, temp_dir=self.database.parent)
        return keys

    def _remove(self) -> None:
        with self._transaction() as database:
            for table in ("keys", "versions", "leases"):
                database.execute(f"DELETE FROM {table} WHERE prefix = ?", (self.prefix,))
            with suppress(FileNotFoundError):
                shutil.rmtree(self.traefik_file.parent)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The only connection that may write to the database and the files; it commits at the end."""
        if self.read_only and not self.database.exists():
            raise BackendUnavailable(f"There is no {self.database} yet; the Hub makes it when it starts.")
        # A missing database is an error, not an empty table.
        uri = f"{self.database.as_uri()}?mode={'ro' if self.read_only else 'rw'}"
        with closing(sqlite3.connect(uri, uri=True, timeout=self.timeout, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = EXTRA")  # any lower level may lose the last commit in a power cut
            database.execute("BEGIN" if self.read_only else "BEGIN IMMEDIATE")
            with database:
                yield database

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread, and translate its errors. SQLite's own `timeout` limits its time."""
        try:
            return await in_thread(work)
        except sqlite3.Error as error:
            kind, remedy = _ERRORS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, _OTHER_ERROR)
            raise kind(f"SQLite cannot use {self.database}: {error}; {remedy}.") from error
        except PermissionError as error:
            raise BackendRejected(f"The Hub's user may not use {self.database.parent}: {error}.") from error
        except OSError as error:
            raise BackendUnavailable(f"{self.database.parent} cannot be used: {error}.") from error

    async def watch(self) -> AsyncGenerator[Told | None]:
        times_closed, seen = self._times_closed, await self._in_thread(self._version)
        yield None
        while times_closed == self._times_closed:
            now = await self._in_thread(self._version)
            if now == seen:
                await asyncio.sleep(_WATCH_INTERVAL)
            else:
                seen = now
                yield None
        raise BackendUnavailable(f"{self.database} was closed.")

    def _version(self) -> Any:
        with self._transaction() as database:
            return database.execute("SELECT version FROM versions WHERE prefix = ?", (self.prefix,)).fetchone()

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        self.check_writable()
        await self._in_thread(lambda: self._acquire_lease(holder, ttl))

    def _acquire_lease(self, holder: str, ttl: float) -> None:
        with self._transaction() as database:
            self._lease.acquire(database, holder, ttl)

    async def release_lease(self) -> None:
        if self._lease.is_wanted:
            await self._in_thread(self._release_lease)

    def _release_lease(self) -> None:
        with self._transaction() as database:
            self._lease.release(database)

    async def read_lease(self) -> LeaseReport | None:
        return await self._in_thread(self._read_lease)

    def _read_lease(self) -> LeaseReport | None:
        with self._transaction() as database:
            return self._lease.report(database)


def traefik_text(keys: Mapping[str, str]) -> bytes:
    """The part of the table for Traefik, in the form that its file provider reads."""
    dynamic = {key.removeprefix("traefik/"): value for key, value in keys.items() if key.startswith("traefik/")}
    # Traefik runs Go templates over the file. They do not see this escape, and TOML reads it as a brace.
    return tomli_w.dumps(unflatten(dynamic)).replace("{{", "{\\u007b").encode()
