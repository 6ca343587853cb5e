"""Drivers whose watch or lease breaks the contract, each in one way."""

from __future__ import annotations

import asyncio

from jhub_kvproxy.testing import MemoryBackend


class LosesWhatComesBetween(MemoryBackend):
    """Listens only while somebody waits."""

    async def watch(self):
        yield
        while True:
            changed = asyncio.Event()
            self._table.watchers.add(changed)
            await changed.wait()
            self._table.watchers.discard(changed)
            yield


class TellsOfItselfOnly(MemoryBackend):
    async def watch(self):
        self._changed = asyncio.Event()
        while True:
            self._changed.clear()
            yield
            await self._changed.wait()

    async def apply(self, batch):
        await super().apply(batch)
        if hasattr(self, "_changed"):
            self._changed.set()


class TellsOfLeases(MemoryBackend):
    async def acquire_lease(self, holder, ttl):
        await super().acquire_lease(holder, ttl)
        for watcher in self._table.watchers:
            watcher.set()


class WatchesInATask(MemoryBackend):
    async def watch(self):
        self._tasks = [asyncio.create_task(asyncio.sleep(3600))]
        async for _ in super().watch():
            yield


class IgnoresFencing(MemoryBackend):
    async def apply(self, batch):
        token, self._token = self._token, None
        await super().apply(batch)
        self._token = token


class FencesOnceItHadTheLease(MemoryBackend):
    async def acquire_lease(self, holder, ttl):
        try:
            await super().acquire_lease(holder, ttl)
        except Exception:
            self._token = None
            raise


class FencesByHolderOnly(MemoryBackend):
    """Does not look whether the lease ran out."""

    def _is_ours(self, lease):
        return lease is not None and lease.token == self._token


class NeverLetsAnotherIn(MemoryBackend):
    async def acquire_lease(self, holder, ttl):
        await super().acquire_lease(holder, 3600)


class RenewsNothing(MemoryBackend):
    async def acquire_lease(self, holder, ttl):
        if self._token is None or not self._is_ours(self._table.lease):
            await super().acquire_lease(holder, ttl)


class AnybodyReleases(MemoryBackend):
    async def release_lease(self):
        self._table.lease = None


class KeepsTheLeaseWhenClosed(MemoryBackend):
    async def close(self):
        pass


class KeepsTheHolderSecret(MemoryBackend):
    async def acquire_lease(self, holder, ttl):
        await super().acquire_lease("somebody", ttl)


class RacesForTheLease(MemoryBackend):
    async def acquire_lease(self, holder, ttl):
        lease = self._table.lease
        await asyncio.sleep(0)
        if lease is None:
            self._table.lease = None
        await super().acquire_lease(holder, ttl)
