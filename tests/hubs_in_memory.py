"""Hubs without Traefik on one store in memory, which a test can take away."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import ClassVar

from jhub_kvproxy import BackendUnavailable
from jhub_kvproxy.routing.records import REVISION, TRAEFIK_REVISION
from jhub_kvproxy.testing import MemoryBackend

TARGET = "http://127.0.0.1:1"
PREFIX = "jupyterhub"
LONG = 600.0


class ReadableBackend(MemoryBackend):
    """One that claims that Traefik can read it, for hubs with ``delivery = "store"`` that have no Traefik."""

    provider = "memory"
    lists_at_once = True

    def traefik_provider_config(self):
        return {"memory": {"a": "b"}}

    def traefik_provider_secrets(self):
        return {}


class Store(ReadableBackend):
    """Counts reads; away while `is_away`, with or without the change being made; shuts a `gate` before changes."""

    reads = 0
    is_away = False
    ends_watches = False
    makes_changes = False
    error: ClassVar[type[Exception]] = BackendUnavailable

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()

    def _fail(self):
        if self.is_away:
            raise self.error("The store is away.")

    async def open(self):
        self._fail()

    async def load(self):
        self.reads += 1
        self._fail()
        return await super().load()

    async def apply(self, batch):
        self.arrived.set()
        await self.gate.wait()
        if not self.is_away or self.makes_changes:
            await super().apply(batch)
        self._fail()

    async def acquire_lease(self, holder, ttl):
        self._fail()
        await super().acquire_lease(holder, ttl)

    async def watch(self):
        self._fail()
        async with aclosing(super().watch()) as watch:
            async for told in watch:
                if self.ends_watches:
                    break
                yield told
        raise BackendUnavailable("The watch is over.")


def revision_key(keys):
    """Which of the two it is, by how Traefik gets the table."""
    return REVISION if REVISION in keys else TRAEFIK_REVISION


def names(table):
    return {key.removeprefix("routes/p.") for key in table.keys if key.startswith("routes/")}


async def hold(hubs, holder="another hub"):
    """Another writer, who has taken the lease from whoever had it."""
    hubs.table.lease = None
    other = MemoryBackend(name=hubs.name, prefix=PREFIX)
    await other.acquire_lease(holder, LONG)
    return other


def wake(table):
    """As somebody else's change does."""
    for watcher in table.watchers:
        watcher.set()


async def is_quiet(hub):
    """Whether it has nothing to compare."""
    await asyncio.sleep(0)
    return not hub.control.guard._changed.is_set() and not hub.control.writer._io.locked()
