"""Drivers that make a batch in parts, each in one way, and that return what is not the table."""

from __future__ import annotations

import asyncio

from jhub_kvproxy import BackendRejected, Batch, LeaseLost, Snapshot
from jhub_kvproxy.testing import MemoryBackend


class DeletesThenWrites(MemoryBackend):
    async def apply(self, batch):
        await super().apply(Batch({key: None for key, value in batch.changes.items() if value is None}))
        await super().apply(Batch({key: value for key, value in batch.changes.items() if value is not None}))


class WritesPageByPage(MemoryBackend):
    async def apply(self, batch):
        changes = list(batch.changes.items())
        for start in range(0, max(len(changes), 1), 2000):
            await super().apply(Batch(dict(changes[start : start + 2000])))


class LooksForTheLeaseFirst(MemoryBackend):
    async def apply(self, batch):
        if self._token and not self._is_ours(self._table.lease):
            raise LeaseLost("lost")
        await asyncio.sleep(0.02)
        token, self._token = self._token, None
        try:
            await super().apply(batch)
        finally:
            self._token = token


class IsEmptyWhenClosed(MemoryBackend):
    _is_open = False

    async def open(self):
        self._is_open = True

    async def close(self):
        await super().close()
        self._is_open = False

    async def load(self):
        return await super().load() if self._is_open else Snapshot({})


class RejectsATextForGood(MemoryBackend):
    async def apply(self, batch):
        if any("\0" in key + (value or "") for key, value in batch.changes.items()):
            raise BackendRejected("a NUL")
        await super().apply(batch)
