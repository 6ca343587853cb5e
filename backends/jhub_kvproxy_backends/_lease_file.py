"""The writer's lease, in a file. Callers hold the table's lock."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jhub_kvproxy import BackendRejected, LeaseHeld, LeaseLost, write_atomically


@dataclass(frozen=True, slots=True)
class _Lease:
    token: str
    holder: str
    since: datetime
    expiry: datetime


class LeaseFile:
    """The lease in the file `path`, for one writer.

    It expires by the clock of this machine, which all writers share. If the clock is set back, the lease lasts longer.
    If it is set forward, another writer may take over early. There is one writer even then: each change checks the
    token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = ""

    @property
    def is_wanted(self) -> bool:
        """Whether changes need the lease."""
        return bool(self._token)

    def acquire(self, holder: str, ttl: float) -> None:
        """Get or keep the lease for `ttl` seconds from now. Raises LeaseHeld."""
        self._token = self._token or secrets.token_hex(16)
        lease, now = self._read(), datetime.now(UTC)
        since = now
        if lease and lease.expiry > now:
            if lease.token != self._token:
                raise LeaseHeld(
                    f"{lease.holder} has had the lease in {self._path} since {lease.since:%Y-%m-%d %H:%M:%S} UTC. "
                    f"It ends when that writer stops, or at {lease.expiry:%H:%M:%S} UTC unless it is renewed."
                )
            since = lease.since
        lease = _Lease(self._token, holder, since, now + timedelta(seconds=ttl))
        content = {
            "token": lease.token,
            "holder": lease.holder,
            "since": lease.since.isoformat(),
            "expiry": lease.expiry.isoformat(),
        }
        write_atomically(self._path, json.dumps(content, indent=1).encode() + b"\n")

    def check(self) -> None:
        """Raise LeaseLost if the lease is wanted and no longer ours."""
        if not self.is_wanted:
            return
        lease = self._read()
        if lease is None or lease.token != self._token:
            now_held = f"{lease.holder} has it since {lease.since:%Y-%m-%d %H:%M:%S} UTC" if lease else "it is gone"
            raise LeaseLost(f"The lease in {self._path} is no longer ours: {now_held}. The table was not changed.")
        if lease.expiry <= datetime.now(UTC):
            raise LeaseLost(f"The lease in {self._path} has run out. The table was not changed.")

    def release(self) -> None:
        """Give the lease up, so that another writer can have it at once."""
        with suppress(BackendRejected):  # a damaged one is not ours
            lease = self._read()
            if lease and lease.token == self._token:
                self._path.unlink()
        self.forget()

    def forget(self) -> None:
        """Give the lease up without touching the file."""
        self._token = ""

    def _read(self) -> _Lease | None:
        try:
            content = json.loads(self._path.read_bytes())
            since, expiry = (datetime.fromisoformat(content[name]) for name in ("since", "expiry"))
            return _Lease(str(content["token"]), str(content["holder"]), since.astimezone(UTC), expiry.astimezone(UTC))
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError) as error:
            raise BackendRejected(f"The lease {self._path} is damaged ({error}); remove it.") from error
