"""One writer at a time: whoever a Lease of Kubernetes names as its holder, and the head of the table too."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from jhub_kvproxy import LeaseHeld, LeaseLost, LeaseReport

from ._kubernetes_api import LEASES, KubernetesAPI
from ._kubernetes_errors import Absent, Conflict
from ._kubernetes_head import Head
from ._kubernetes_names import LABELS
from ._kubernetes_table import KubernetesTable

#: Seconds by which the clocks of two machines may differ.
_CLOCKS_DIFFER = 60.0


class KubernetesLease:
    """The lease `name`, for one writer of `table`.

    Who takes the lease writes a fence of its own into the head, which no other has had. A head that an earlier writer
    has on its way is refused then; it reads the head, and sees another fence than its own. So no clock decides who may
    write. A writer that sees no change of the Lease for as long as that lasts, by its own clock, takes it.
    """

    def __init__(self, api: KubernetesAPI, table: KubernetesTable, name: str) -> None:
        self._api = api
        self._table = table
        self._name = name
        self._id = secrets.token_hex(8)
        self._is_wanted = False
        #: That of the lease that we have; empty if we have none.
        self._fence = ""
        #: When our lease runs out, by our clock.
        self._deadline = 0.0
        #: The Lease as we know it.
        self._known: Mapping[str, Any] | None = None
        #: The version of another's Lease, and when we first saw it.
        self._seen = ("", 0.0)

    def check(self, head: Head) -> str:
        """The fence of the next head. Raises LeaseLost if we want the lease and have it no longer."""
        if not self._is_wanted:
            return head.fence
        if self._fence and head.fence == self._fence and time.monotonic() < self._deadline:
            return self._fence
        self._fence = ""
        raise LeaseLost(f"The lease {self._name} in Kubernetes is not ours, or has run out; nothing was changed.")

    async def acquire(self, holder: str, ttl: float) -> None:
        """Get or keep the lease for `ttl` seconds from now, rounded up to whole ones. Raises LeaseHeld."""
        self._is_wanted = True
        seconds = max(math.ceil(ttl), 1)
        now, deadline = time.monotonic(), self._api.deadline()
        if self._fence and now < self._deadline and self._known:
            with suppress(Conflict, Absent):
                await self._write(self._known, holder, seconds, deadline, _turns(self._known))
                self._deadline = now + seconds
                return
        self._fence = ""
        found = await self._api.get(self._name, deadline, LEASES)
        self._check_free(found)
        taken = LeaseHeld(f"Another has just taken the lease {self._name} in Kubernetes.")
        turn = 1 + max(_turns(found), await self._table.turn(deadline))
        try:
            await self._write(found, holder, seconds, deadline, turn)
        except (Conflict, Absent) as error:
            raise taken from error
        fence = f"{turn}-{secrets.token_hex(4)}"
        if not await self._table.claim(fence, deadline):
            raise taken
        self._fence, self._deadline = fence, now + seconds

    async def release(self) -> None:
        """Give the lease up, so that another writer can have it at once."""
        if not self._is_wanted:
            return
        deadline = self._api.deadline()
        with suppress(Conflict, Absent):
            found = await self._api.get(self._name, deadline, LEASES)
            if found and _id_of(found) == self._id:
                spec = {**found["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._api.replace({**found, "spec": spec}, deadline, LEASES)
        self.forget()

    def forget(self) -> None:
        """Have no lease any more, also if Kubernetes was not told."""
        self._is_wanted, self._fence, self._known = False, "", None

    async def report(self) -> LeaseReport | None:
        """Who has the lease; None: nobody."""
        found = await self._api.get(self._name, self._api.deadline(), LEASES)
        spec = (found or {}).get("spec") or {}
        if not found or not spec.get("holderIdentity"):
            return None
        if _id_of(found) != self._id and (self._has_expired(found) or _is_long_over(spec)):
            return None
        return LeaseReport(
            _holder(spec), _time_of(spec.get("acquireTime")), float(spec.get("leaseDurationSeconds") or 1)
        )

    async def remove(self, deadline: float) -> None:
        self.forget()
        with suppress(Absent):
            await self._api.delete(self._name, deadline, LEASES)

    def _check_free(self, found: Mapping[str, Any] | None) -> None:
        """Raise LeaseHeld if another has the lease `found`, and it has not run out."""
        spec = (found or {}).get("spec") or {}
        if not found or not spec.get("holderIdentity") or _id_of(found) == self._id:
            return
        if not self._has_expired(found):
            raise LeaseHeld(
                f"{_holder(spec)} holds the lease {self._name} in Kubernetes since "
                f"{spec.get('acquireTime', 'an unknown time')}. Stop that hub, or give this one another "
                "KVProxy.prefix.",
                seconds=float(spec.get("leaseDurationSeconds") or 1),
            )

    def _has_expired(self, found: Mapping[str, Any]) -> bool:
        """Whether another's lease `found` has not changed for as long as it lasts."""
        now, version = time.monotonic(), str(found["metadata"]["resourceVersion"])
        if self._seen[0] != version:
            self._seen = version, now
        return now - self._seen[1] > float(found["spec"].get("leaseDurationSeconds") or 1)

    async def _write(
        self, found: Mapping[str, Any] | None, holder: str, seconds: int, deadline: float, turn: int
    ) -> None:
        """Write the Lease over `found`, as ours."""
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        spec = {
            "holderIdentity": f"{holder}_{self._id}",
            "leaseDurationSeconds": seconds,
            "acquireTime": found["spec"]["acquireTime"] if found and self._fence else now,
            "renewTime": now,
            "leaseTransitions": turn,
        }
        meta: dict[str, Any] = {"name": self._name, "labels": LABELS}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        if found:
            meta["resourceVersion"] = found["metadata"]["resourceVersion"]
            written = await self._api.replace(body, deadline, LEASES)
        else:
            written = await self._api.create(body, deadline, LEASES)
        self._known = {**body, "metadata": {**meta, "resourceVersion": written["resourceVersion"]}}


def _id_of(lease: Mapping[str, Any]) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "").rpartition("_")[2]


def _holder(spec: Mapping[str, Any]) -> str:
    holder = str(spec["holderIdentity"])
    return holder.rpartition("_")[0] or holder


def _time_of(text: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else None


def _is_long_over(spec: Mapping[str, Any]) -> bool:
    """Whether its holder should have renewed it long ago, by the clocks of both. Enough to tell people, no more."""
    renewed = _time_of(spec.get("renewTime"))
    age = (datetime.now(UTC) - renewed).total_seconds() if renewed else 0.0
    return age > float(spec.get("leaseDurationSeconds") or 1) + _CLOCKS_DIFFER


def _turns(lease: Mapping[str, Any] | None) -> int:
    return int(((lease or {}).get("spec") or {}).get("leaseTransitions") or 0)
