"""Opens the store when the hub starts, which it may have to wait for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ..errors import BackendUnavailable, LeaseHeld, LeaseLost
from ..notice import Notice
from .contract import Backend
from .writer import Writer

_INTERVAL, _NOTICE_INTERVAL = 0.5, 5.0


async def open_store(
    backend: Backend, writer: Writer, log: Any, *, store_patience: float, lease_patience: float
) -> None:
    """Open the store, become its only writer, and take over the table.

    A store that is away is waited for, `store_patience` seconds, and another hub that has the lease, `lease_patience`,
    or twice as long as its lease lasts if that is longer. Then what it says is raised; whatever does not pass by itself
    at once.
    """
    notice = Notice(log, _NOTICE_INTERVAL)
    away = held = None
    while True:
        now = time.monotonic()
        try:
            await backend.open()
            await writer.check()
            break
        except BackendUnavailable as error:
            away = away or now
            if time.monotonic() + _INTERVAL > away + store_patience:
                raise
            left = away + store_patience - time.monotonic()
            notice.wrong("Waiting for the store, for up to %.0f s more (KVProxy.store_timeout). %s", left, error)
        except (LeaseHeld, LeaseLost) as error:
            away, held = None, held or now
            if isinstance(error, LeaseHeld) and error.seconds:
                lease_patience = max(lease_patience, 2 * error.seconds)
            if time.monotonic() + _INTERVAL > held + lease_patience:
                raise
            notice.wrong("Waiting until this hub may write (KVProxy.when_lease_held, KVProxy.lease_seconds). %s", error)
        await asyncio.sleep(_INTERVAL)
    notice.over("The wait is over")
