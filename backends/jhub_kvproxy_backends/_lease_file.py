"""The writer's lease, in a file. Callers hold the table's lock."""

from __future__ import annotations

import json
import math
import os
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jhub_kvproxy import (
    BackendRejected,
    LeaseHeld,
    LeaseLost,
    LeaseReport,
    read_checked,
    with_checksum,
    write_atomically,
)

from ._lease_report import report_of

#: What the file of an older release has, which knows the lease's end by the wall clock only.
_OLD_NAMES = ("token", "holder", "since", "expiry")
#: Seconds that such a lease lasts, for one who wants none.
_UNKNOWN_TTL = 60.0
#: Seconds by which the clocks of two machines may differ.
_CLOCKS_DIFFER = 60.0


@dataclass(frozen=True, slots=True)
class _Lease:
    token: str
    holder: str
    #: For people; nothing depends on it.
    since: str
    #: Seconds that it lasts from each renewal; 0: not known.
    ttl: float
    #: When it ends, by the clock with that name.
    end: float
    clock: str


class LeaseFile:
    """The lease in the file `path`, for one writer.

    It ends by the clock that counts from the start of the machine, which its processes share; nothing depends on a
    wall clock. A lease by the clock of another machine, or of an earlier start of this one, has ended when it has not
    been renewed for as long as it lasts, since we saw it first. Should a clock be wrong all the same, there is still
    one writer: each change checks the token.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._token = ""
        #: When the lease that we have ends.
        self._end = 0.0
        #: Another clock's lease that we saw last, and when first.
        self._seen: tuple[_Lease, float] | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether changes need the lease."""
        return bool(self._token)

    def request(self, ttl: float) -> str:
        """From now on changes need the lease. Returns since when we have it; raises LeaseHeld if another has it.

        Callers need no lock for it.
        """
        self._token = self._token or secrets.token_hex(16)
        lease, now = self._read(), _now()
        if lease is None or self._has_ended(lease, now, ttl):
            return f"{_wall():%Y-%m-%d %H:%M:%S} UTC"
        if lease.token != self._token:
            raise LeaseHeld(
                f"{lease.holder} has had the lease in {self.path} since {lease.since}. It ends when that writer "
                f"stops, or has not renewed it for {lease.ttl or ttl:g} s.",
                seconds=lease.ttl or None,
            )
        return lease.since

    @property
    def is_anothers(self) -> bool:
        """Whether another has the lease, or may have it. Callers need no lock for it."""
        try:
            lease = self._read()
        except (BackendRejected, OSError):
            return True
        return lease is not None and lease.token != self._token and not self._has_ended(lease, _now(), _UNKNOWN_TTL)

    def report(self) -> LeaseReport | None:
        """Who has the lease; None: nobody. Callers need no lock for it."""
        lease = self._read()
        if lease is None or self._has_ended(lease, _now(), _UNKNOWN_TTL):
            return None
        if lease.clock != _clock() and self._age() > (lease.ttl or _UNKNOWN_TTL) + _CLOCKS_DIFFER:
            return None
        return report_of(asdict(lease))

    def acquire(self, holder: str, ttl: float, workshop: Path, *, mode: int = 0o600, group: int = -1) -> None:
        """Get or keep the lease for `ttl` seconds from now. Raises LeaseHeld. A new file gets `mode` and `group`."""
        since, now = self.request(ttl), _now()
        lease = _Lease(self._token, holder, since, ttl, now + ttl, _clock())
        opening = json.dumps(asdict(lease), indent=1).removesuffix("\n}") + ",\n"
        write_atomically(self.path, with_checksum(opening.encode()), mode=mode, group=group, temp_dir=workshop)
        self._end = lease.end

    def check(self) -> None:
        """Raise LeaseLost if the lease is wanted and no longer ours."""
        if not self.is_wanted:
            return
        lease = self._read()
        if lease is None or lease.token != self._token:
            now_held = f"{lease.holder} has it since {lease.since}" if lease else "it is gone"
            raise LeaseLost(f"The lease in {self.path} is no longer ours: {now_held}. The table was not changed.")
        if self._end <= _now():
            raise LeaseLost(f"The lease in {self.path} has run out. The table was not changed.")

    def release(self, workshop: Path) -> None:
        """Give the lease up, so that another writer can have it at once."""
        with suppress(BackendRejected):  # a damaged one is not ours
            lease = self._read()
            if lease and lease.token == self._token:
                os.rename(self.path, workshop / self.path.name)
        self.forget()

    def forget(self) -> None:
        """Give the lease up without touching the file."""
        self._token = ""

    def _has_ended(self, lease: _Lease, now: float, ttl: float) -> bool:
        # A machine that was set back to a snapshot has the same clock, at an earlier time.
        if lease.clock == _clock() and lease.end - now <= lease.ttl:
            return lease.end <= now
        if self._seen is None or self._seen[0] != lease:
            self._seen = (lease, now)
        return now - self._seen[1] >= (lease.ttl or ttl)

    def _age(self) -> float:
        """Seconds since the last renewal by the clocks on the wall: enough to tell people, no more."""
        try:
            return _wall().timestamp() - self.path.stat().st_mtime
        except FileNotFoundError:  # it has just been given up
            return math.inf

    def _read(self) -> _Lease | None:
        try:
            content, is_checked = read_checked(self.path.read_bytes(), _OLD_NAMES)
            if is_checked:
                return _Lease(**content)
            # The end stands in the place of the clock's name, so that a renewal makes another lease.
            return _Lease(str(content["token"]), str(content["holder"]), str(content["since"]), 0, 0, content["expiry"])
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise BackendRejected(f"The lease {self.path} is damaged ({error}); remove it.") from error


def _now() -> float:
    """Seconds since the machine was started, also while it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def _clock() -> str:
    """The name of the clock that :func:`_now` reads: which start of which machine, and in which time namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/time')}"
    except OSError:
        return secrets.token_hex(16)  # unlike any other


def _wall() -> datetime:
    return datetime.now(UTC)
