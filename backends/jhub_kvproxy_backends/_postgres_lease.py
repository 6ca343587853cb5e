"""One writer at a time: the lease is a row with a token and an expiry, by the server's clock."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jhub_kvproxy import LeaseHeld, LeaseLost, LeaseReport

from ._postgres_schema import Schema, digest
from ._postgres_session import Ask

#: The condition under which the lease in the row `old` is somebody's. None was granted for longer than its `seconds`:
#: the clock was set back, and whoever lives renews it.
LASTS = """
    old.expiry > clock_timestamp() AND old.expiry < clock_timestamp() + 1.5 * old.seconds * interval '1 second'
"""


class Lease:
    """The lease of `prefix`, a row. Whoever takes it waits for transactions that have checked whether it is theirs."""

    def __init__(self, schema: Schema, prefix: str, place: str) -> None:
        self._prefix = prefix
        self._digest = digest(prefix, "")
        self._name = f"the lease of {prefix!r} in PostgreSQL at {place}"
        self._token = ""
        self._find = f"""
            SELECT token, holder, since, seconds FROM {schema.leases} AS old
            WHERE digest = $1 AND {LASTS}
        """
        self._acquire = f"""
            INSERT INTO {schema.leases} AS old (prefix, token, holder, since, seconds, expiry)
            SELECT $1, $2, $3, now, $4, now + $4 * interval '1 second' FROM clock_timestamp() AS now
            ON CONFLICT (digest) DO UPDATE SET token = excluded.token, holder = excluded.holder,
                since = CASE WHEN old.token = excluded.token AND {LASTS}
                    THEN old.since ELSE clock_timestamp() END,
                seconds = excluded.seconds, expiry = clock_timestamp() + $4 * interval '1 second'
                WHERE old.token = excluded.token OR NOT ({LASTS})
            RETURNING token
        """
        self._release = f"DELETE FROM {schema.leases} WHERE digest = $1 AND token = $2"
        #: What is made in a transaction.
        self.writes = (self._release,)

    @property
    def is_wanted(self) -> bool:
        """Whether changes need the lease."""
        return bool(self._token)

    @property
    def arguments(self) -> tuple[bytes, str]:
        """The row's digest, and the token that it must have; empty: the lease is not wanted."""
        return self._digest, self._token

    def check(self, found: Mapping[str, Any]) -> None:
        """Raise LeaseLost if the lease is wanted and not ours, by the token and the holder that a commit `found`."""
        if self._token and found["token"] != self._token:
            now = "it has expired" if found["token"] is None else f"{_holder(found)} has it now"
            raise LeaseLost(f"{self._name[0].upper()}{self._name[1:]} is no longer ours, {now}; nothing was changed.")

    async def acquire(self, ask: Ask, holder: str, ttl: float) -> None:
        """Get or keep the lease for `ttl` seconds from now. Raises LeaseHeld."""
        self._token = self._token or secrets.token_hex(16)
        while not await ask(self._acquire, self._prefix, self._token, holder, float(ttl)):
            if rows := await ask(self._find, self._digest):
                raise LeaseHeld(
                    f"{_holder(rows[0])} holds {self._name}. Stop that hub, or give this one another KVProxy.prefix.",
                    seconds=rows[0]["seconds"],
                )

    async def release(self, ask: Ask) -> None:
        """Give the lease up, so that another writer can have it at once. In a transaction: none is made late."""
        await ask(self._release, self._digest, self._token)

    def forget(self) -> None:
        """Want the lease no longer."""
        self._token = ""

    async def report(self, ask: Ask) -> LeaseReport | None:
        """Who has the lease; None: nobody."""
        rows = await ask(self._find, self._digest)
        return LeaseReport(rows[0]["holder"], rows[0]["since"], rows[0]["seconds"]) if rows else None


def _holder(found: Mapping[str, Any]) -> str:
    since: datetime = found["since"]
    return f"{found['holder']} (since {since:%Y-%m-%d %H:%M:%S} UTC)"
