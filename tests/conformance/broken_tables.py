"""Drivers whose table or lifecycle breaks the contract, each in one way."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from fnmatch import fnmatchcase
from typing import ClassVar

from traitlets import Unicode

from jhub_kvproxy import CONTRACT, BackendUnavailable, Batch, BatchRejected, Snapshot
from jhub_kvproxy.testing import MemoryBackend
from tests.hubs_in_memory import ReadableBackend


class StatesAnotherContract(MemoryBackend):
    contract = CONTRACT + 1


class ForgetsDeletes(MemoryBackend):
    async def apply(self, batch):
        await super().apply(Batch({key: value for key, value in batch.changes.items() if value is not None}))


class DropsEmptyValues(MemoryBackend):
    async def apply(self, batch):
        await super().apply(Batch({key: value or None for key, value in batch.changes.items()}))


class NormalisesKeys(MemoryBackend):
    async def apply(self, batch):
        await super().apply(Batch({unicodedata.normalize("NFC", k).strip(): v for k, v in batch.changes.items()}))


class StripsValues(MemoryBackend):
    async def apply(self, batch):
        await super().apply(Batch({key: value and value.strip() for key, value in batch.changes.items()}))


class RaisesKeyError(MemoryBackend):
    async def apply(self, batch):
        for key, value in batch.changes.items():
            if value is None:
                self._table.keys[key]
        await super().apply(batch)


class KeepsItInMemory(MemoryBackend):
    """Answers what it was told, and writes nothing."""

    _told: ClassVar[dict] = {}

    async def apply(self, batch):
        keys = self._told.setdefault((self.name, self.prefix), {})
        keys.update(batch.changes)
        for key in [key for key, value in keys.items() if value is None]:
            del keys[key]

    async def load(self):
        return Snapshot(dict(self._told.get((self.name, self.prefix), {})))


class GivesAwayItsTable(MemoryBackend):
    async def load(self):
        return Snapshot(self._table.keys)


class AppliesPiecemeal(MemoryBackend):
    async def apply(self, batch):
        for key, value in batch.changes.items():
            await super().apply(Batch({key: value}))


class ReadsPiecemeal(MemoryBackend):
    """Page by page, each as of its own moment."""

    async def load(self):
        keys, page, found = self._table.keys, 1000, {}
        names = sorted(keys)
        for start in range(0, len(names), page):
            found |= {name: keys[name] for name in names[start : start + page] if name in keys}
            await asyncio.sleep(0)
        return Snapshot(found)


class LosesUpdates(MemoryBackend):
    """Reads the table, changes it, and writes it back."""

    async def apply(self, batch):
        keys = dict(self._table.keys)
        await asyncio.sleep(0)
        keys.update(batch.changes)
        self._table.keys.clear()
        self._table.keys.update({key: value for key, value in keys.items() if value is not None})


class TrustsItsCache(MemoryBackend):
    _known = None

    async def load(self):
        if self._known is None:
            self._known = dict((await super().load()).keys)
        return Snapshot(dict(self._known))

    async def apply(self, batch):
        await super().apply(batch)
        self._known = {**(self._known or {}), **batch.changes}
        self._known = {key: value for key, value in self._known.items() if value is not None}


class SharesItsState(MemoryBackend):
    """Where it stands is known to the class."""

    _latest: ClassVar[list[str]] = [""]

    async def open(self):
        self._latest[0] = self.prefix

    @property
    def _table(self):
        return self.tables.setdefault((self.name, self._latest[0]), type(super()._table)())


class TakesThePrefixAsIs(MemoryBackend):
    """One flat store, the prefix before each key, as text."""

    @property
    def _flat(self):
        return self.tables.setdefault((self.name, ""), type(super()._table)()).keys

    async def apply(self, batch):
        for key, value in batch.changes.items():
            self._flat[f"{self.prefix}/{key}"] = value
        await asyncio.sleep(0)

    async def load(self):
        start = f"{self.prefix}/"
        return Snapshot(
            {k.removeprefix(start): v for k, v in self._flat.items() if k.startswith(start) and v is not None}
        )


class TakesThePrefixForAPattern(MemoryBackend):
    async def apply(self, batch):
        for (name, prefix), table in list(self.tables.items()):
            if name == self.name and fnmatchcase(prefix, self.prefix):
                for key, value in batch.changes.items():
                    if value is None:
                        table.keys.pop(key, None)
        await super().apply(batch)


class PromisesTooMuch(MemoryBackend):
    max_txn_ops = 100

    async def apply(self, batch):
        if len(batch.changes) > 64:
            raise BatchRejected("too many")
        await super().apply(batch)


class CutsWhatIsTooMuch(MemoryBackend):
    """And a part of it stays when the rest is refused."""

    max_txn_ops = 100

    async def apply(self, batch):
        changes = list(batch.changes.items())
        await super().apply(Batch(dict(changes[:100])))
        if len(changes) > 100:
            raise BatchRejected("too many")


class EmptiesWhatItRefuses(MemoryBackend):
    max_txn_bytes = 10_000

    async def apply(self, batch):
        if sum(len(key) + len((value or "").encode()) for key, value in batch.changes.items()) > 10_000:
            self._table.keys.clear()
            raise BatchRejected("too long")
        await super().apply(batch)


class LooksWhenConstructed(MemoryBackend):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        os.listdir(".")


class CannotBeOpenedAgain(MemoryBackend):
    _is_closed = False

    async def close(self):
        self._is_closed = True

    async def load(self):
        if self._is_closed:
            raise BackendUnavailable("closed")
        return await super().load()


class LeavesATask(MemoryBackend):
    async def open(self):
        self._task = asyncio.create_task(asyncio.sleep(3600))


class LeavesASocket(MemoryBackend):
    async def open(self):
        self._streams = os.pipe()


class LeavesTheTable(MemoryBackend):
    async def remove(self):
        pass


class IsOpenedOnce(MemoryBackend):
    """A second open() does not look whether what the first one made is still there."""

    _is_open = False

    async def open(self):
        if not self._is_open:
            self._is_open = True
            self.tables.setdefault((self.name, self.prefix), type(self._table)())

    async def close(self):
        self._is_open = False

    async def remove(self):
        self.tables.pop((self.name, self.prefix), None)

    async def load(self):
        if (self.name, self.prefix) not in self.tables:
            raise BackendUnavailable("gone")
        return await super().load()


class CommitsLate(MemoryBackend):
    """When its caller has gone."""

    async def apply(self, batch):
        async def later():
            await asyncio.sleep(0.01)
            await MemoryBackend.apply(self, batch)

        await asyncio.shield(asyncio.ensure_future(later()))


class ShowsItsPassword(MemoryBackend):
    password = Unicode(config=True)

    async def open(self):
        self.log.info("Connecting with %s", {"password": self.password})


class ConfiguresWithItsToken(ReadableBackend):
    token = Unicode(config=True)

    def traefik_provider_config(self):
        return {"memory": {"token": self.token}}
