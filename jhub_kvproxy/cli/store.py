"""The check of the store. However it ends, it removes all that it wrote."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Coroutine, Mapping
from contextlib import aclosing, suppress
from enum import Enum, auto
from typing import Any, TypeVar, cast

from ..aio import to_the_end
from ..errors import BackendError, BackendRejected, KVProxyError, LeaseHeld
from ..hub.proxy import KVProxy
from ..options.settings import Delivery
from ..routing.records import CHECK, RECORDS
from ..routing.records import Table as RecordsTable
from ..routing.routes import Route
from ..store.contract import Backend, Batch, SupportsLease, SupportsWatch
from ..survey.table import missing_directory
from ..traefik_routers.table import Routing, RoutingTable
from ..words import counted
from .report import Report, StepFailed, in_words
from .secrets import unset
from .text import limits_in_words

T = TypeVar("T")

#: The first version of the contract that has :attr:`Backend.read_only`.
_FIRST_TO_ONLY_READ = 2
_PATIENCE = 10.0
_LEASE = 30.0


class Table(Enum):
    """Whether the hub's own table is open."""

    OPEN = auto()
    #: The table is in files, and no hub has made them yet.
    ABSENT = auto()
    FAILED = auto()


def backend_for(proxy: KVProxy, prefix: str) -> Backend:
    """The backend of `proxy`, on `prefix`; not opened."""
    return cast(Backend, proxy.backend_class(parent=proxy, prefix=prefix))


async def run_to_end(call: Coroutine[Any, Any, T]) -> T:
    """Await `call` to its end, even if the caller is cancelled: then the caller can undo what it did to the store."""
    return await to_the_end(asyncio.ensure_future(call))


async def open_table(backend: Backend, report: Report) -> Table:
    """Open the hub's own table and read it, without a change. If there is no table, make none."""
    try:
        with report.step("open"):
            if (directory := missing_directory(backend)) and not await _has_table(backend):
                report.note(
                    "table", f"{backend.prefix!r} holds no table yet; the hub makes {directory} when it starts."
                )
                return Table.ABSENT
            await run_to_end(backend.open())
            limits = limits_in_words(backend.max_txn_ops, backend.max_txn_bytes)
            report.ok("open", f"The store answers{f'; a transaction changes up to {limits}' if limits else ''}.")
        with report.step("table"):
            keys = (await run_to_end(backend.load())).keys
            report.facts["routes"] = sum(key.startswith(RECORDS) for key in keys)
            if keys:
                # Deleting an absent key changes nothing, but shows whether we may write.
                await run_to_end(backend.apply(Batch({CHECK + secrets.token_hex(4): None})))
            report.ok("table", _describe(backend.prefix, report.facts["routes"] if keys else None))
    except StepFailed as failed:
        if isinstance(failed.__cause__, BackendRejected) and (why := unset(backend)):
            report.note("open", why)
        return Table.FAILED
    return Table.OPEN


def _describe(prefix: str, routes: int | None) -> str:
    if routes is None:
        return f"{prefix!r} holds no table yet; the hub makes it when it starts."
    return f"{prefix!r} holds {counted(routes, 'route')}, and may be changed."


async def _has_table(backend: Backend) -> bool:
    """Whether the table is elsewhere than in Traefik's directory, as in a database. Makes nothing."""
    if backend.contract < _FIRST_TO_ONLY_READ:
        return False
    reader = type(backend)(parent=backend.parent, prefix=backend.prefix, read_only=True)
    try:
        await run_to_end(reader.open())
        return bool((await run_to_end(reader.load())).keys)
    except BackendError:
        return False
    finally:
        await run_to_end(reader.close())


async def try_store(proxy: KVProxy, own: Backend | None, report: Report) -> None:
    """Test writing, reading, deleting, the watch and the lease, below a prefix that nobody else uses.

    If the store refuses that prefix, write a key into `own`, the hub's own table, for a moment.
    """
    prefix = f"{proxy.prefix}-check-{secrets.token_hex(4)}"
    scratch = backend_for(proxy, prefix)
    routes = [Route("/check/", "http://127.0.0.1:1", {})]
    table = RecordsTable(routes) if proxy.delivery != Delivery.STORE else RoutingTable(Routing.TREE, routes)
    keys = table.keys
    may_be_written = False
    try:
        with suppress(StepFailed), report.step("write"):
            try:
                await run_to_end(scratch.open())
                may_be_written = True
                await run_to_end(scratch.apply(Batch(keys)))
            except BackendRejected as error:
                may_be_written = False
                if own is None:
                    raise
                report.note(
                    "write",
                    f"The store lets us use {own.prefix!r} only. So the check uses a key in the hub's own table, and "
                    "skips watch and lease.",
                    error,
                )
                await _try_own(own, report)
                return
            await _read_and_delete(scratch, keys)
            report.ok("write", f"A route was written, read and deleted below {prefix!r}.")
            await _try_watch(scratch, report)
            await _try_lease(scratch, backend_for(proxy, prefix), report)
    finally:
        try:
            await run_to_end(scratch.remove())
        except Exception as error:
            if may_be_written:
                report.failed("cleanup", f"Below {prefix!r} something may be left: {in_words(error)}", error)
        finally:
            await run_to_end(scratch.close())


async def _try_own(own: Backend, report: Report) -> None:
    keys = {CHECK + secrets.token_hex(4): "jhub-kvproxy check"}
    try:
        await run_to_end(own.apply(Batch(keys)))
        await _read_and_delete(own, keys)
    except BaseException:
        try:
            await run_to_end(own.apply(Batch(dict.fromkeys(keys))))
        except BackendError as error:
            report.failed("cleanup", f"{', '.join(keys)} may be left in the table; the hub ignores it. {error}", error)
        raise
    report.ok("write", f"A key was written, read and deleted below {own.prefix!r}.")


async def _read_and_delete(backend: Backend, keys: Mapping[str, str]) -> None:
    stored = (await run_to_end(backend.load())).keys
    if wrong := [key for key, value in keys.items() if stored.get(key) != value]:
        raise KVProxyError(f"{wrong[0]!r} was written below {backend.prefix!r}, but reading does not return it.")
    await run_to_end(backend.apply(Batch(dict.fromkeys(keys))))
    stored = (await run_to_end(backend.load())).keys
    if left := [key for key in keys if key in stored]:
        raise KVProxyError(f"{left[0]!r} was deleted below {backend.prefix!r}, but is still there.")


async def _try_watch(backend: Backend, report: Report) -> None:
    if not isinstance(backend, SupportsWatch):
        return
    with suppress(StepFailed), report.step("watch"):
        try:
            async with asyncio.timeout(_PATIENCE), aclosing(backend.watch()) as changes:
                await anext(changes)
                await run_to_end(backend.apply(Batch({CHECK + "watch": "changed"})))
                await anext(changes)
        except (TimeoutError, StopAsyncIteration):
            raise KVProxyError(f"The store did not report a change within {_PATIENCE:g} s.") from None
        report.ok("watch", "The store reports changes.")


async def _try_lease(backend: Backend, other: Backend, report: Report) -> None:
    if not (isinstance(backend, SupportsLease) and isinstance(other, SupportsLease)):
        return
    holder = f"jhub-kvproxy check on {socket.gethostname()}"
    with suppress(StepFailed), report.step("lease"):
        try:
            await run_to_end(other.open())
            await run_to_end(backend.acquire_lease(holder, _LEASE))
            with suppress(LeaseHeld):
                await run_to_end(other.acquire_lease(holder, _LEASE))
                raise KVProxyError("The store gave the lease to two writers at once.")
            await run_to_end(backend.apply(Batch({CHECK + "lease": holder})))
            await run_to_end(backend.release_lease())
            await run_to_end(other.acquire_lease(holder, _LEASE))
            await run_to_end(other.release_lease())
        finally:
            await run_to_end(other.close())
            with suppress(BackendError):
                await run_to_end(backend.release_lease())
        report.ok("lease", "The store lets one hub at a time write.")
