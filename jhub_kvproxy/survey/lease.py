"""Which hub may write to the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..errors import BackendError
from ..store.contract import Backend, SupportsLeaseReport


@dataclass(frozen=True, slots=True)
class HubLease:
    """Who has the lease; an empty `holder`: nobody, or that is not known, for the reason `unknown`."""

    holder: str = ""
    #: In UTC; None: not known.
    since: datetime | None = None
    #: For how long it was asked for; None: not known.
    seconds: float | None = None
    #: Why it is not known who has it, a sentence; empty: it is.
    unknown: str = ""


async def read_lease(backend: Backend) -> HubLease:
    """Who may write to the store of `backend`, which is open."""
    if not isinstance(backend, SupportsLeaseReport):
        return HubLease(unknown=f"{type(backend).__name__} does not say who has the lease.")
    try:
        report = await backend.read_lease()
    except BackendError as error:
        return HubLease(unknown=str(error))
    return HubLease(report.holder, report.since, report.seconds) if report else HubLease()
