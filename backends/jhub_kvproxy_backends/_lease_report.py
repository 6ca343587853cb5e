"""What a lease that a writer left in a store says of it, for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jhub_kvproxy import LeaseReport

_FORM = "%Y-%m-%d %H:%M:%S UTC"
_STRANGER = "somebody who does not say who"


def report_of(lease: Mapping[str, Any]) -> LeaseReport:
    """The report of `lease`, the JSON object that a writer left. Others may have written anything."""
    holder, ttl = lease.get("holder"), lease.get("ttl")
    seconds = float(ttl) if isinstance(ttl, int | float) and not isinstance(ttl, bool) and 0 < ttl < 1e9 else None
    return LeaseReport(str(holder) if holder else _STRANGER, _since(lease.get("since")), seconds)


def _since(text: Any) -> datetime | None:
    try:
        return datetime.strptime(text, _FORM).replace(tzinfo=UTC)
    except (TypeError, ValueError):
        return None
