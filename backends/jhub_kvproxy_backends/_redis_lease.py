"""One writer at a time: the lease is a key that expires. A change is made only while the key is unchanged."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from jhub_kvproxy import LeaseHeld, LeaseLost, LeaseReport

from ._lease_report import report_of
from ._redis_session import Command, Session


class Lease:
    """The lease below `root`.

    Changes WATCH the key, and do not use a script: a script cannot set the option for keyspace events, which must
    happen in the same transaction as the writes. A watch also notices when the key expires.
    """

    def __init__(self, root: str) -> None:
        self.key = f"{root}/lease"
        self._token = ""

    @property
    def is_wanted(self) -> bool:
        """Whether changes need the lease."""
        return bool(self._token)

    @property
    def question(self) -> Command:
        """The command whose reply says who has the lease."""
        return ("GET", self.key)

    def check(self, session: Session, reply: Any) -> None:
        """Raise LeaseLost if the lease is wanted and, by the `reply` to the question, not ours.

        The caller watches :attr:`key`.
        """
        if not self._token:
            return
        found = _read(session.accepted(reply))
        if found.get("token") != self._token:
            now = f"{_holder(found)} has it now" if found else "it expired"
            raise LeaseLost(f"The lease {self.key} in {session.place} is no longer this writer's: {now}.")

    async def acquire(self, session: Session, holder: str, ttl: float) -> None:
        """Get or keep the lease for `ttl` seconds from now. Raises LeaseHeld."""
        self._token = self._token or secrets.token_hex(8)
        while True:
            found = await self._begin(session)
            if found and found.get("token") != self._token:
                raise LeaseHeld(
                    f"{_holder(found)} holds the lease {self.key} in {session.place}.",
                    seconds=_number(found.get("ttl")),
                )
            since = found.get("since") or datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            lease = json.dumps({"holder": holder, "since": since, "ttl": ttl, "token": self._token})
            expiry = max(1, round(ttl * 1000))
            if await session.commit([("SET", self.key, lease, "PX", expiry)]) is not None:
                return

    async def report(self, session: Session) -> LeaseReport | None:
        """Who has the lease; None: nobody."""
        found = _read(await session.ask(*self.question))
        return report_of(found) if found else None

    async def release(self, session: Session) -> None:
        """Give the lease up, so that another writer can have it at once."""
        while self._token:
            ours = (await self._begin(session)).get("token") == self._token
            if await session.commit([("DEL", self.key)] if ours else []) is not None:
                self._token = ""

    async def _begin(self, session: Session) -> dict[str, Any]:
        """Begin a transaction that is made only if the lease does not change. Returns the lease as it is."""
        [reply] = await session.begin([self.key], self.question)
        return _read(session.accepted(reply))


def _read(reply: Any) -> dict[str, Any]:
    """The lease in `reply`; empty if there is none."""
    if reply is None:
        return {}
    try:
        lease = json.loads(reply)
    except (ValueError, TypeError, RecursionError):
        lease = None
    return lease if isinstance(lease, dict) else {"holder": "something that is no lease of ours"}


def _number(said: Any) -> float | None:
    return said if isinstance(said, int | float) else None


def _holder(lease: dict[str, Any]) -> str:
    return f"{lease.get('holder')} (since {lease.get('since', 'an unknown time')})"
