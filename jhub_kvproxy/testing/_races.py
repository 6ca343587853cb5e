"""Tests of batches that a careless driver makes in two parts: readers and other writers come between."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from typing import ClassVar

import pytest

from ..aio import cancel
from ..errors import LeaseHeld, LeaseLost
from ..store.contract import Backend, Batch, SupportsLease
from ._kit import Kit, Suite, assert_same, asynchronous, batch_of, in_time, read_while

_MOVES, _LARGE_ROUNDS, _LEASES = 100, 5, 3
#: Drivers send so many keys in several requests.
_LARGE = 6000
_LONG = 600.0
_HALF = "apply() is all or nothing, but load() returned a table with a part of a batch."


class RaceTests(Suite):
    """Batches that delete and write, large ones, and those of a writer that loses its lease meanwhile."""

    #: The shortest lease that the store can keep, in seconds.
    shortest_lease: ClassVar[float] = 1.0

    @asynchronous
    async def test_a_reader_sees_what_moves_at_one_place(self, kit: Kit) -> None:
        """Each batch deletes one key and writes another, and swaps the values of two others."""

        def move(number: int) -> Batch:
            here, there = ("routes/!here", "routes/~there")[:: 1 if number % 2 else -1]
            left, right = ("1", "2")[:: 1 if number % 2 else -1]
            return Batch({here: None, there: "moves", "routes/left": left, "routes/right": right})

        def check(table: dict[str, str]) -> None:
            places = [key for key in table if table[key] == "moves"]
            assert len(places) == 1, f"{_HALF} What moves from one key to another was at {places or 'none'}."
            assert {table["routes/left"], table["routes/right"]} == {"1", "2"}, f"{_HALF} Two values were swapped."

        await read_while(kit, move, check, _MOVES, _MOVES // 3)

    @asynchronous
    async def test_a_reader_sees_large_batches_whole(self, kit: Kit) -> None:
        """As large as the driver's limits allow."""
        keys = _large(kit.backend)

        def check(table: dict[str, str]) -> None:
            assert len(table) == len(keys), _HALF
            assert len(set(table.values())) == 1, _HALF

        await read_while(kit, lambda number: batch_of(number, *keys), check, _LARGE_ROUNDS, _LARGE_ROUNDS)

    @asynchronous
    async def test_who_loses_the_lease_while_it_writes_writes_no_more(self, kit: Kit) -> None:
        """From when another has the lease; also if it was not lost yet when apply() began."""
        first, second = kit.backend, await kit.opened()
        if not (isinstance(first, SupportsLease) and isinstance(second, SupportsLease)):
            pytest.skip(f"{type(first).__name__} has no acquire_lease()")
        keys, numbers = _large(first), count()

        async def write() -> None:
            with suppress(LeaseLost):
                while True:
                    await first.apply(batch_of(next(numbers), *keys))

        async def take_over() -> None:
            while True:
                with suppress(LeaseHeld):
                    return await second.acquire_lease("second", _LONG)
                await asyncio.sleep(0)

        for _ in range(_LEASES):
            await first.acquire_lease("first", self.shortest_lease)
            writing = asyncio.create_task(write())
            try:
                await in_time(take_over(), "A lease must expire after its ttl, so that another object can acquire it.")
                table = (await second.load()).keys
                await in_time(writing, "apply() must raise LeaseLost when another has the lease.")
            finally:
                await cancel([writing])
            assert_same(
                (await second.load()).keys,
                table,
                "The store must check the lease in the transaction of the change: nothing may be written once another "
                "has the lease, also by an apply() that began before.",
            )
            await second.release_lease()
            await first.release_lease()


def _large(backend: Backend) -> list[str]:
    return [f"routes/p.user.{number:05}" for number in range(min(_LARGE, backend.max_txn_ops or _LARGE))]
