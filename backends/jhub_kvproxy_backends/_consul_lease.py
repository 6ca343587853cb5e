"""One writer at a time: whoever locks a certain key with a Consul session has the lease."""

from __future__ import annotations

import base64
import json
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from jhub_kvproxy import BackendUnavailable, LeaseHeld, LeaseLost, LeaseReport

from ._consul_api import ConsulAPI, Operation, RolledBack, kv, kv_path, parsed
from ._lease_report import report_of

_SHORTEST_TTL = 10.0  # of a session (Consul docs, "Session HTTP API")
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class _Found:
    """The lease's key as it was read. `session` is empty if nobody has locked it, `ttl` None if it cannot be read."""

    index: int
    session: str
    holder: str
    since: str
    ttl: float | None

    @property
    def report(self) -> LeaseReport:
        return report_of({"holder": self.holder, "since": self.since, "ttl": self.ttl})


class ConsulLease:
    """The lease in `key`, for one writer.

    Whoever has locked `key` has the lease. Each transaction of the holder checks that the lock is still its own.

    Consul ends a session that is not renewed, and with it the lock, but no sooner than after 10 s, and as late as
    after twice the TTL. So we do not wait for that. The key holds the TTL, and each renewal changes the key. A writer
    that sees no change for the TTL, by its own clock, takes the lock over, in a transaction that fails if the key has
    changed. No clocks are compared.
    """

    def __init__(self, api: ConsulAPI, key: str) -> None:
        self._api = api
        self._key = key
        self._is_wanted = False
        self._session = ""
        self._session_ttl = 0.0
        #: The session that we were about to end when Consul went away.
        self._ended = ""
        #: When our lease runs out, by our clock.
        self._deadline = 0.0
        #: The key's index, and when we first saw it.
        self._seen = (-1, 0.0)

    def fence(self) -> list[Operation]:
        """The operations that must come first in a transaction; none without a lease."""
        if not self._is_wanted:
            return []
        if time.monotonic() > self._deadline:
            raise LeaseLost(f"The lease {self._key} in Consul is not ours, or has run out.")
        return [kv("check-session", self._key, Session=self._session)]

    async def acquire(self, holder: str, ttl: float) -> None:
        self._is_wanted = True
        for _ in range(_ATTEMPTS):
            found = await self._read()
            deadline = time.monotonic() + ttl
            is_ours = found is not None and found.session != "" and found.session in (self._session, self._ended)
            if found and found.session and not is_ours and not self._has_expired(found):
                raise LeaseHeld(
                    f"{found.holder} holds the lease {self._key} in Consul since {found.since}.", seconds=found.ttl
                )
            since = found.since if found and is_ours else f"{datetime.now(UTC):%F %T} UTC"
            await self._ensure_session(holder, ttl)
            value = {"holder": holder, "since": since, "ttl": ttl, "renewal": secrets.token_hex(4)}
            operations = [kv("lock", self._key, json.dumps(value), Session=self._session)]
            if found and found.session not in ("", self._session):
                operations.insert(0, kv("delete-cas", self._key, Index=found.index))
            try:
                await self._api.txn(operations, again=True)
            except RolledBack as rolled_back:
                # Somebody was faster, or our session has just ended.
                reason = rolled_back.reason
            else:
                self._deadline = deadline
                return
        raise BackendUnavailable(f"The lease {self._key} in Consul changes too fast: {reason}.")

    async def release(self) -> None:
        # The next lease has another session: if Consul gets this request late, it ends only the old one.
        self._ended, self._session, self._deadline = self._session or self._ended, "", 0.0
        if self._ended:
            # The session deletes what it has locked.
            await self._api.ask("PUT", f"/v1/session/destroy/{self._ended}")
        self._ended, self._is_wanted = "", False

    async def report(self) -> LeaseReport | None:
        """Who has the lease; None: nobody."""
        found = await self._read()
        if found is None or not found.session or (found.session != self._session and self._has_expired(found)):
            return None
        return found.report

    async def _read(self) -> _Found | None:
        answer = await self._api.ask("GET", kv_path(self._key), {"consistent": ""})
        if answer.status != 200:
            return None
        entry = parsed(answer, lambda said: dict(said[0]))
        try:
            value = json.loads(base64.b64decode(entry["Value"] or ""))
            holder, since, ttl = str(value["holder"]), str(value["since"]), float(value["ttl"])
        except (ValueError, LookupError, TypeError, RecursionError):
            holder, since, ttl = "Somebody", "an unknown time", None
        return _Found(entry["ModifyIndex"], entry.get("Session", ""), holder, since, ttl)

    async def _ensure_session(self, holder: str, ttl: float) -> None:
        """Make sure that we have a session that lasts `ttl` seconds more, or longer."""
        if self._session and ttl <= self._session_ttl:
            answer = await self._api.ask("PUT", f"/v1/session/renew/{self._session}")
            if answer.status == 200:
                return
        self._session_ttl = max(ttl, _SHORTEST_TTL)
        session = {
            "Name": f"jhub-kvproxy: {holder}",
            "TTL": f"{self._session_ttl:.3f}s",
            "Behavior": "delete",
            # The fence keeps late changes out, so nobody needs to wait after a lock has ended.
            "LockDelay": "0s",
            # The node's health says nothing about us: we may run elsewhere.
            "NodeChecks": [],
        }
        answer = await self._api.ask("PUT", "/v1/session/create", message=session)
        self._session = parsed(answer, lambda said: str(said["ID"]))

    def _has_expired(self, found: _Found) -> bool:
        now = time.monotonic()
        if self._seen[0] != found.index:
            self._seen = found.index, now
        return found.ttl is not None and now - self._seen[1] > found.ttl
