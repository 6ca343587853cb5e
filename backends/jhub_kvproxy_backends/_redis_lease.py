"""One writer at a time: the lease is a key that expires, and every change is made only while it is the same."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from jhub_kvproxy import LeaseHeld, LeaseLost

from ._redis_session import Session


class Lease:
    """The lease below `root`.

    Watched keys rather than a script: the option for keyspace events cannot be set from a script, but must be in the
    same transaction as the writes. Redis also breaks a watch when the key expires.
    """

    def __init__(self, root: str) -> None:
        self.key = f"{root}/lease"
        self._token = ""

    @property
    def is_wanted(self) -> bool:
        """Whether changes may be made only while the lease is ours."""
        return bool(self._token)

    async def check(self, session: Session) -> None:
        """Raise LeaseLost if the lease is wanted and not ours. Whoever calls this has :attr:`key` watched."""
        if not self._token:
            return
        found = _read(await session.ask("GET", self.key))
        if found.get("token") != self._token:
            now = f"{_words(found)} has it now" if found else "it expired"
            raise LeaseLost(f"The lease {self.key} in {session.place} is no longer this writer's: {now}.")

    async def acquire(self, session: Session, holder: str, ttl: float) -> None:
        """Have it for `ttl` seconds from now. Raises LeaseHeld."""
        self._token = self._token or secrets.token_hex(8)
        while True:
            found = await self._watched(session)
            if found and found.get("token") != self._token:
                raise LeaseHeld(f"{_words(found)} holds the lease {self.key} in {session.place}.")
            since = found.get("since") or datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            lease = json.dumps({"holder": holder, "since": since, "token": self._token})
            expiry = max(1, round(ttl * 1000))
            if await session.transact([("SET", self.key, lease, "PX", expiry)]) is not None:
                return

    async def release(self, session: Session) -> None:
        """Let another have it at once."""
        while self._token:
            ours = (await self._watched(session)).get("token") == self._token
            if await session.transact([("DEL", self.key)] if ours else []) is not None:
                self._token = ""

    async def _watched(self, session: Session) -> dict[str, Any]:
        """The lease as it is. The next transaction is made only if it is still the same."""
        await session.ask("WATCH", self.key)
        return _read(await session.ask("GET", self.key))


def _read(reply: Any) -> dict[str, Any]:
    """The lease that `reply` tells of; empty when there is none."""
    if reply is None:
        return {}
    try:
        lease = json.loads(reply)
    except (ValueError, TypeError):
        lease = None
    return lease if isinstance(lease, dict) else {"holder": "something that is no lease of ours"}


def _words(lease: dict[str, Any]) -> str:
    return f"{lease.get('holder')} (since {lease.get('since', 'an unknown time')})"
