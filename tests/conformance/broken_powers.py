"""Drivers whose watch or lease breaks the contract, each in one way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime

from jhub_kvproxy import BackendRejected, BackendUnavailable, LeaseHeld, LeaseReport, difference
from jhub_kvproxy.testing import MemoryBackend


class LosesWhatComesBetween(MemoryBackend):
    """Listens only while somebody waits."""

    async def watch(self):
        yield None
        while True:
            async with aclosing(super().watch()) as watch:
                await anext(watch)
                told = await anext(watch)
            yield told


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


class TellsHalf(MemoryBackend):
    """One change at a time."""

    async def watch(self):
        async with aclosing(super().watch()) as watch:
            async for told in watch:
                for change in [None] if told is None else told.items():
                    yield change and dict([change])


class TellsOfNoDelete(MemoryBackend):
    async def watch(self):
        async with aclosing(super().watch()) as watch:
            async for told in watch:
                yield told and {key: value for key, value in told.items() if value is not None}


class TellsOfEverything(MemoryBackend):
    async def watch(self):
        async with aclosing(super().watch()) as watch:
            async for told in watch:
                yield told and {**self._table.keys, **told}


class TellsAtOnce(MemoryBackend):
    async def watch(self):
        yield dict(self._table.keys)
        async with aclosing(super().watch()) as watch:
            async for told in watch:
                yield told


class ComparesWithItsLastLook(MemoryBackend):
    """And knows nothing of what was loaded meanwhile."""

    async def watch(self):
        before = dict(self._table.keys)
        async with aclosing(super().watch()) as watch:
            async for told in watch:
                now = dict(self._table.keys)
                yield None if told is None else difference(before, now)
                before = now


class LeavesItsWatchesOpen(MemoryBackend):
    async def close(self):
        await self.release_lease()


class EndsItsWatchesQuietly(MemoryBackend):
    async def watch(self):
        with suppress(BackendUnavailable):
            async with aclosing(super().watch()) as watch:
                async for told in watch:
                    yield told


class WritesThoughItOnlyReads(MemoryBackend):
    def check_writable(self):
        pass


class MakesItsTableThoughItOnlyReads(MemoryBackend):
    async def open(self):
        self._table.keys.setdefault("routes/made", "1")


class TellsOfLeases(MemoryBackend):
    async def acquire_lease(self, holder, ttl):
        await super().acquire_lease(holder, ttl)
        for watcher in self._table.watchers:
            watcher.set()


class WatchesInATask(MemoryBackend):
    async def watch(self):
        self._tasks = [asyncio.create_task(asyncio.sleep(3600))]
        async for told in super().watch():
            yield told


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


class ReportsTheDead(MemoryBackend):
    async def read_lease(self):
        lease = self._table.lease
        return lease and LeaseReport(lease.holder, lease.since, lease.ttl)


class ReportsNobody(MemoryBackend):
    """Who does not have it knows of no lease."""

    async def read_lease(self):
        report = await super().read_lease()
        return report if self._token else None


class ReportsItsOwnName(MemoryBackend):
    async def read_lease(self):
        report = await super().read_lease()
        return report and replace(report, holder="a hub")


class ReportsTheRenewal(MemoryBackend):
    async def acquire_lease(self, holder, ttl):
        await super().acquire_lease(holder, ttl)
        self._table.lease.since = datetime.now(UTC)


class ReportsTheFirstTtl(MemoryBackend):
    async def acquire_lease(self, holder, ttl):
        before = self._table.lease
        await super().acquire_lease(holder, ttl)
        if before and before.token == self._token:
            self._table.lease.ttl = before.ttl


class ReportsLocalTime(MemoryBackend):
    async def read_lease(self):
        report = await super().read_lease()
        return report and replace(report, since=report.since.replace(tzinfo=None))


class AsksForTheLeaseToReadIt(MemoryBackend):
    async def read_lease(self):
        with suppress(LeaseHeld, BackendRejected):
            await self.acquire_lease("reader", 0)
            await super().release_lease()
        return await super().read_lease()


class ReportsAnyPrefix(MemoryBackend):
    async def read_lease(self):
        leases = [table.lease for (name, _), table in self.tables.items() if name == self.name and table.lease]
        return LeaseReport(leases[0].holder, leases[0].since, leases[0].ttl) if leases else None
