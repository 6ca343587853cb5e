"""Lets one writer in at a time: a row names the holder and the expiry."""

import secrets
import sqlite3
import time
from datetime import UTC, datetime

from jhub_kvproxy import LeaseHeld, LeaseLost, LeaseReport


class Lease:
    """The lease of `prefix`, as one backend uses it. All methods work in the caller's transaction."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._token = ""

    @property
    def is_wanted(self) -> bool:
        """Whether this backend writes with the lease only."""
        return bool(self._token)

    def acquire(self, database: sqlite3.Connection, holder: str, ttl: float) -> None:
        self._token = self._token or secrets.token_hex(16)
        now = time.time()
        found = self._find(database)
        if found and found["token"] != self._token:
            since = datetime.fromtimestamp(found["since"], UTC)
            raise LeaseHeld(f"{found['holder']} has had the lease of {self._prefix!r} since {since:%F %T} UTC.")
        lease = (self._prefix, self._token, holder, found["since"] if found else now, now + ttl)
        database.execute("REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", lease)

    def check(self, database: sqlite3.Connection) -> None:
        """Raise LeaseLost if this backend writes with the lease only, and does not have it now."""
        if not self.is_wanted:
            return
        found = self._find(database)
        if found is None or found["token"] != self._token:
            now = f"{found['holder']} has it" if found else "it has run out"
            raise LeaseLost(f"The lease of {self._prefix!r} is no longer ours: {now}. The table was not changed.")

    def report(self, database: sqlite3.Connection) -> LeaseReport | None:
        """Who has the lease; None: nobody. It does not say for how long it was asked for: the table has no column."""
        found = self._find(database)
        return LeaseReport(found["holder"], datetime.fromtimestamp(found["since"], UTC), None) if found else None

    def release(self, database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM leases WHERE prefix = ? AND token = ?", (self._prefix, self._token))
        self._token = ""

    def _find(self, database: sqlite3.Connection) -> sqlite3.Row | None:
        """The current lease of any backend, by the clock of this machine, which all writers share."""
        cursor = database.cursor()
        cursor.row_factory = sqlite3.Row
        now = (self._prefix, time.time())
        found: sqlite3.Row | None = cursor.execute(
            "SELECT * FROM leases WHERE prefix = ? AND expiry > ?", now
        ).fetchone()
        return found
