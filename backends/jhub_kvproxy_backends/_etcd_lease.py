"""One writer at a time: whoever makes a certain key, attached to an etcd lease, has the lease."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jhub_kvproxy import LeaseHeld, LeaseLost, LeaseReport

from ._etcd_client import EtcdClient, encoded, revision_of
from ._etcd_errors import LeaseGone
from ._lease_report import report_of

_QUICK = 1.0  # seconds


class EtcdLease:
    """The lease in `key`, for one writer.

    Whoever has made `key` has the lease. etcd removes the key when the etcd lease expires. So the key's
    `create_revision` differs from one holder to the next.
    """

    def __init__(self, client: EtcdClient, key: str) -> None:
        self._client = client
        self._key = key
        self._is_wanted = False
        #: The etcd lease, and the seconds for which it was granted.
        self._id, self._ttl = "", 0
        #: The etcd lease that we were about to end when etcd went away.
        self._ended = ""
        #: The revision in which we made the key; 0 if we have not.
        self._revision = 0
        self._since = ""

    def compares(self) -> list[dict[str, Any]]:
        """The comparisons by which a transaction changes nothing without the lease; none if no lease is wanted."""
        if not self._is_wanted:
            return []
        if not self._revision:
            raise LeaseLost(f"The lease {self._key} in etcd is not ours; nothing was changed.")
        return [self._is_ours()]

    def check(self, kvs: list[Mapping[str, Any]]) -> None:
        """Raise LeaseLost if a lease is wanted and `kvs`, the key as etcd has it, is not ours."""
        if self._is_wanted and not (kvs and int(kvs[0]["create_revision"]) == self._revision):
            now = f"{_holder(kvs[0])} has it now" if kvs else "it has expired"
            raise LeaseLost(f"The lease {self._key} in etcd is no longer ours, {now}; nothing was changed.")

    async def acquire(self, holder: str, ttl: float) -> None:
        """Get or keep the lease for `ttl` seconds from now, rounded up to whole ones. Raises LeaseHeld."""
        self._is_wanted = True
        deadline = self._client.deadline()
        ttl = max(math.ceil(ttl), 1)
        old, began = self._id or self._ended, time.monotonic()
        if not (ttl == self._ttl and await self._is_kept_alive(deadline)):
            answer = await self._client.ask("/v3/lease/grant", {"TTL": ttl}, again=True, deadline=deadline)
            self._id, self._ttl = str(answer["ID"]), ttl
        while not await self._make_key(holder, deadline):
            pass
        # If etcd is slow, ours must not run out meanwhile: the old one then expires by itself.
        if old and old != self._id and time.monotonic() - began < _QUICK:
            await self._revoke(old, deadline)

    async def report(self) -> LeaseReport | None:
        """Who has the lease; None: nobody."""
        message = {"key": encoded(self._key)}
        answer = await self._client.ask("/v3/kv/range", message, again=True, deadline=self._client.deadline())
        kvs = answer.get("kvs", [])
        return report_of(_value(kvs[0])) if kvs else None

    async def release(self) -> None:
        """Give the lease up, so that another writer can have it at once."""
        # The next lease is another one of etcd's: if etcd gets this request late, it ends only the old one.
        self._ended, self._id, self._ttl = self._id or self._ended, "", 0
        if self._ended:
            await self._revoke(self._ended, self._client.deadline())
        self._is_wanted, self._ended, self._revision = False, "", 0

    async def _is_kept_alive(self, deadline: float) -> bool:
        message = {"ID": self._id}
        answer = await self._client.ask("/v3/lease/keepalive", message, again=True, deadline=deadline)
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    async def _make_key(self, holder: str, deadline: float) -> bool:
        """Make the key, or renew it if it is ours. False: try again, with what is known now. Raises LeaseHeld."""
        if not self._revision:
            self._since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        value = encoded(json.dumps({"holder": holder, "since": self._since, "ttl": self._ttl}))
        message = {
            "compare": [self._is_ours()],
            "success": [{"request_put": {"key": encoded(self._key), "value": value, "lease": self._id}}],
            "failure": [{"request_range": {"key": encoded(self._key)}}],
        }
        answer = await self._client.ask("/v3/kv/txn", message, again=True, deadline=deadline)
        if answer.get("succeeded"):
            self._revision = self._revision or revision_of(answer)
            return True
        kvs = answer["responses"][0]["response_range"].get("kvs", [])
        if not kvs:
            self._revision = 0
            return False
        if kvs[0].get("lease") in (self._id, self._ended):
            # We made it, but the answer got lost.
            self._revision = int(kvs[0]["create_revision"])
            return bool(kvs[0]["lease"] == self._id)
        self._revision = 0
        await self._revoke(self._id, deadline)
        self._id, self._ttl = "", 0
        raise LeaseHeld(
            f"{_holder(kvs[0])} holds the lease {self._key} in etcd. "
            "Stop that hub, or give this one another KVProxy.prefix.",
            seconds=_ttl(kvs[0]),
        )

    def _is_ours(self) -> dict[str, Any]:
        return {
            "target": "CREATE",
            "result": "EQUAL",
            "key": encoded(self._key),
            "create_revision": str(self._revision),
        }

    async def _revoke(self, lease_id: str, deadline: float) -> None:
        with contextlib.suppress(LeaseGone):
            await self._client.ask("/v3/lease/revoke", {"ID": lease_id}, again=True, deadline=deadline)


def _ttl(kv: Mapping[str, Any]) -> float | None:
    return report_of(_value(kv)).seconds


def _holder(kv: Mapping[str, Any]) -> str:
    value = _value(kv)
    if "holder" not in value:
        return "somebody (the key does not say who)"
    return f"{value['holder']} (since {value.get('since', 'an unknown time')})"


def _value(kv: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the key says; nothing if that is none of ours."""
    try:
        value = json.loads(base64.b64decode(kv.get("value", "")))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
