"""Tests of objects that only read: Backend.read_only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from ..errors import BackendRejected, BackendUnavailable
from ..store.contract import Batch, SupportsLease, SupportsWatch
from ._kit import Kit, Suite, asynchronous, batch_of
from ._watch import next_change, watching


class ReadingTests(Suite):
    """`read_only`."""

    @asynchronous
    async def test_who_reads_only_sees_what_others_write(self, kit: Kit) -> None:
        """Also when nobody has the store open for writing."""
        await kit.backend.apply(batch_of(1, "routes/a", "traefik/http/routers/a/rule"))
        await kit.backend.close()
        before = await kit.raw()
        reader = kit.new(read_only=True)
        await reader.open()
        await reader.open()
        await kit.holds(before, "An object that only reads must load the table.", reader)
        await kit.backend.open()
        if isinstance(reader, SupportsWatch):
            async with watching(reader) as watch:
                await kit.backend.apply(batch_of(2, "routes/a"))
                await next_change(watch, "watch() of an object that only reads must yield after changes.")
                await kit.holds({**before, "routes/a": "2"}, "", reader)
        await reader.close()
        await reader.close()

    @asynchronous
    async def test_who_reads_only_changes_nothing(self, kit: Kit) -> None:
        """Not the table, and not the lease of another."""
        reader = kit.new(read_only=True)
        await kit.backend.apply(batch_of(1, "routes/a"))
        if isinstance(kit.backend, SupportsLease):
            await kit.backend.acquire_lease("the writer", 600)
        await reader.open()
        rule = "An object that only reads must refuse to write, by BackendRejected, and change nothing."
        calls: list[Callable[[], Awaitable[None]]] = [
            lambda: reader.apply(batch_of(2, "routes/a")),
            lambda: reader.apply(Batch({"routes/a": None})),
            reader.remove,
        ]
        if isinstance(reader, SupportsLease):
            lessee: SupportsLease = reader
            calls.append(lambda: lessee.acquire_lease("reader", 600))
        for call in calls:
            try:
                await call()
            except BackendRejected:
                pass
            else:
                pytest.fail(rule)
            await kit.holds({"routes/a": "1"}, rule)
        await reader.close()
        await kit.backend.apply(batch_of(3, "routes/a"))
        await kit.holds({"routes/a": "3"}, "An object that only reads must leave the lease to the writer.")

    @asynchronous
    async def test_who_reads_only_makes_nothing(self, kit: Kit) -> None:
        """On a prefix where nobody has written, the table is empty, or there is none to read yet."""
        prefix = f"{kit.prefix}-unused"
        reader = kit.new(prefix, read_only=True)
        for call in (reader.open, reader.load):
            try:
                snapshot = await call()
            except BackendUnavailable:
                continue
            assert not (snapshot and snapshot.keys), "load() of a prefix that nobody wrote to must return nothing."
        await reader.close()
        writer = await kit.opened(prefix)
        rule = "An object that only reads must make nothing."
        await kit.holds({}, rule, writer)
        await writer.apply(batch_of(1, "routes/a"))
        await reader.open()
        await kit.holds({"routes/a": "1"}, "An object that only reads must see a table that was made later.", reader)
