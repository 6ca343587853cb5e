"""What a tool changes in a store, as its only writer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from ..aio import to_the_end
from ..errors import BackendError, KVProxyError, LeaseHeld, LeaseLost
from ..hub.ways import stored_by
from ..notice import Notice
from ..options.settings import Settings
from ..routing.routes import Route
from ..store.contract import Backend
from ..store.lease import Lease
from ..store.reconciler import Reconciler
from .replacement import Replacement

#: Seconds beyond the lease of another, in which it has run out unless that one renews it.
_GRACE = 1.0
_UNKNOWN = 60.0
_INTERVAL, _REMINDER = 0.2, 30.0


@asynccontextmanager
async def only_writer(backend: Backend, seconds: float, who: str, log: Any) -> AsyncIterator[Lease]:
    """Open `backend`, and have the lease of its store for `seconds` at a time; `who` is told to others.

    A lease that another has is waited for as long as it lasts: then it has run out, or a hub that runs has renewed it.
    Raises :class:`~jhub_kvproxy.errors.LeaseHeld` then, and whatever the backend does. 0 `seconds`: there is no lease.
    """
    lease = Lease(backend, seconds, log, who=who)
    try:
        await backend.open()
        await _patiently(lease.hold, log)
        yield lease
    finally:
        await to_the_end(asyncio.ensure_future(backend.close()))


async def _patiently(attempt: Callable[[], Awaitable[Any]], log: Any) -> None:
    """Try until `attempt` raises no LeaseHeld, or whoever has the lease must have renewed it."""
    end, notice = None, Notice(log, _REMINDER)
    while True:
        try:
            await attempt()
            return
        except LeaseHeld as error:
            seconds = (error.seconds or _UNKNOWN) + _GRACE
            end = end or time.monotonic() + seconds
            if time.monotonic() > end:
                raise LeaseHeld(f"{error} Nothing was changed: end that one first.", seconds=error.seconds) from error
            notice.wrong("Waiting for up to %.0f s, in case that one has ended. %s", seconds, error)
        await asyncio.sleep(_INTERVAL)


async def replace_table(
    settings: Settings,
    backend: Backend,
    routes: Iterable[Route],
    *,
    who: str,
    log: Any,
    shown: Replacement | None = None,
    above: str = "",
) -> Replacement:
    """Make `routes` the table in the store of `backend`, which is opened and closed here. Returns what changed.

    If it is not what was `shown` before, nothing changes. The new revision is newer than the one with the text `above`.
    Also if the caller is cancelled, the change is made to its end, or undone. Raises
    :class:`~jhub_kvproxy.errors.KVProxyError`.
    """
    async with only_writer(backend, settings.lease_seconds, who, log) as lease:
        stored = stored_by(settings, backend, lease, log)
        return await to_the_end(asyncio.ensure_future(_replace(stored, list(routes), shown, above)))


async def _replace(stored: Reconciler, routes: list[Route], shown: Replacement | None, above: str) -> Replacement:
    await stored.check()
    found = Replacement.of(stored.table.routes.values(), routes)
    if shown and found.to_json() != shown.to_json():
        raise KVProxyError("The table is not as it was shown any more, so its routes were left alone. Look again.")
    try:
        await stored.outdo(above)
        rejected = await stored.put(found.changes, is_touched=True)
    except BackendError as error:
        raise KVProxyError(f"{error} {await _undone(stored, found, error)}") from error
    if not rejected:
        return found
    why = next(iter(rejected.values()))
    raise KVProxyError(f"The store refuses {len(rejected)} of the routes. {await _undone(stored, found, why)} {why}")


async def _undone(stored: Reconciler, found: Replacement, why: BackendError) -> str:
    """Bring back what was before `found`; what came of that, in a sentence."""
    with suppress(BackendError):
        if not isinstance(why, LeaseHeld | LeaseLost):  # otherwise the table may be another's now
            await stored.ensure()
            await stored.put(found.undo, is_touched=True)
            return "The table is as it was."
    return "A part of the routes may be in the store: do it again."
