"""All that a tool sees of a site at one moment: the hub's lease, the store, the replicas."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from ..errors import BackendError, BackendUnavailable, TraefikError
from ..options.settings import Delivery, Settings
from ..store.contract import Backend
from ..traefik_routers.provider import readable_by_traefik
from .lease import HubLease, read_lease
from .replicas import Asked, Replica, ask_replicas
from .table import Table, missing_directory, read_table


@dataclass(frozen=True, slots=True)
class Store:
    """The store, and the table in it."""

    backend: str
    prefix: str
    #: Why it cannot be read, a sentence; empty: it can.
    error: str = ""
    #: Seconds that reading the table took; None: it could not be read.
    latency: float | None = None
    table: Table = field(default_factory=Table)


@dataclass(frozen=True, slots=True)
class Site:
    """What a tool has seen."""

    store: Store
    #: None: the hub's configuration asks for no lease.
    lease: HubLease | None
    replicas: tuple[Replica, ...] = ()
    #: Why the replicas are not known, a sentence; empty: they are.
    error: str = ""


async def look(
    settings: Settings, make_backend: Callable[[], Backend], find: Callable[[], Awaitable[list[Asked]]]
) -> Site:
    """What is so now. `make_backend` makes an object that only reads, which is opened and closed here.

    `find` finds the replicas, and may raise :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    backend = make_backend()
    try:
        store, lease = await _look_at_store(backend, settings)
    finally:
        await _closed(backend)
    try:
        provider = provider_for(settings, backend)
        found = await find()
        revision = store.table.revision
        return Site(store, lease, tuple(await ask_replicas(found, revision, backend.prefix, provider)))
    except (TraefikError, BackendError) as error:
        return Site(store, lease, error=str(error))


@asynccontextmanager
async def opened_reader(make_backend: Callable[[], Backend]) -> AsyncIterator[Backend]:
    """The backend that `make_backend` makes, opened. Raises :class:`~jhub_kvproxy.errors.BackendError`."""
    backend = make_backend()
    try:
        await backend.open()
        yield backend
    finally:
        await _closed(backend)


async def read_site_table(settings: Settings, make_backend: Callable[[], Backend]) -> tuple[Table, str]:
    """The table in the store, and the name by which Traefik reads the store by itself, if it does.

    Raises :class:`~jhub_kvproxy.errors.KVProxyError`.
    """
    async with opened_reader(make_backend) as backend:
        return await read_table(backend), provider_for(settings, backend)


async def read_table_if_any(make_backend: Callable[[], Backend]) -> Table:
    """The table in the store, which may have none. Raises :class:`~jhub_kvproxy.errors.BackendError`."""
    try:
        async with opened_reader(make_backend) as backend:
            return await read_table(backend)
    except BackendUnavailable:
        if missing_directory(make_backend()):
            return Table()
        raise


def provider_for(settings: Settings, backend: Backend) -> str:
    """The name by which Traefik reads the store by itself; empty: it does not."""
    return readable_by_traefik(backend).provider if settings.delivery is Delivery.STORE else ""


async def _look_at_store(backend: Backend, settings: Settings) -> tuple[Store, HubLease | None]:
    store = Store(type(backend).__name__, backend.prefix)
    lease = HubLease(unknown="The store cannot be read.") if settings.lease_seconds else None
    try:
        await backend.open()
        began = time.monotonic()
        table = await read_table(backend)
        latency = time.monotonic() - began
    except BackendError as error:
        return Store(store.backend, store.prefix, str(error)), lease
    store = Store(store.backend, store.prefix, latency=latency, table=table)
    return store, await read_lease(backend) if lease else None


async def _closed(backend: Backend) -> None:
    with suppress(BackendError):  # it only reads, so nothing is left in the store
        await backend.close()
