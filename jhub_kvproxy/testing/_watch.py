"""The optional power to tell of changes: SupportsWatch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import cast

import pytest

from ..store.contract import Backend, SupportsLease, SupportsWatch
from ._kit import Kit, Suite, asynchronous, in_time, until, whole

Watch = AsyncGenerator[None]


class WatchTests(Suite):
    """`watch`, for backends that have it."""

    @asynchronous
    async def test_a_watch_tells_of_own_changes(self, kit: Kit) -> None:
        async with watching(kit.backend) as watch:
            for number in range(3):
                await kit.backend.apply(whole(number, "routes/a"))
                await told(watch, "watch() must tell of what the same object changes.")

    @asynchronous
    async def test_a_watch_tells_of_others_changes(self, kit: Kit) -> None:
        other = await kit.opened()
        async with watching(kit.backend) as watch:
            for number in range(3):
                await other.apply(whole(number, "routes/a"))
                await told(watch, "watch() must tell of what another object changes.")
            await kit.fill({"routes/a": None}, other)
            await told(watch, "watch() must tell when a key is deleted, be it the last.")
            await other.apply(whole("x", "routes/new", "traefik/http/routers/new/rule"))
            await told(watch, "watch() must tell of new keys.")

    @asynchronous
    async def test_a_watch_tells_one_who_waits(self, kit: Kit) -> None:
        other = await kit.opened()
        async with watching(kit.backend) as watch:
            waiting = asyncio.create_task(_next(watch))
            await kit.backend.load()  # other methods may be called meanwhile
            await kit.backend.apply(whole(0, "routes/a"))
            await in_time(waiting, "watch() must tell one who waits already.")
            waiting = asyncio.create_task(_next(watch))
            await other.apply(whole(1, "routes/a"))
            await in_time(waiting, "watch() must tell one who waits already.")

    @asynchronous
    async def test_a_watch_loses_nothing_between_two_looks(self, kit: Kit) -> None:
        """Who loads after each yield ends with the last state, however slow it is and however quick the changes."""
        other = await kit.opened()
        async with watching(kit.backend) as watch:
            for burst in range(5):
                for number in range(1 + burst * 2):
                    await other.apply(whole(f"{burst}-{number}", "routes/a"))
                last = {"routes/a": f"{burst}-{burst * 2}"}
                await told(watch, "watch() must tell of changes that were made between two iterations.")
                while (await kit.backend.load()).keys != last:
                    await told(watch, "watch() must tell again after the last of several quick changes.")
            for number in range(6):  # a change at the moment in which the one before it is told
                await asyncio.gather(
                    told(watch, "watch() must tell of a change that comes while another is told."),
                    other.apply(whole(number, "routes/b")),
                )

    @asynchronous
    async def test_a_watch_tells_of_nothing_else(self, kit: Kit) -> None:
        """Neither of reading, nor of a lease, nor of other prefixes. Changes elsewhere show that time has passed."""
        elsewhere = await kit.opened(kit.prefix + "2")
        inside = await kit.opened(kit.prefix + "/routes")
        changes = count()

        async with watching(kit.backend) as watch, watching(elsewhere) as control:

            async def settled(waiting: asyncio.Task[None]) -> asyncio.Task[None]:
                """A wait for the next yield that does not end by what was done so far."""
                for _ in range(10):
                    for _ in range(2):
                        await elsewhere.apply(whole(next(changes), "routes/a"))
                        await told(control, "watch() must tell of changes.")
                    if not waiting.done():
                        return waiting
                    await waiting
                    waiting = asyncio.create_task(_next(watch))
                raise AssertionError("watch() must not tell again and again of one change.")

            waiting = asyncio.create_task(_next(watch))
            for number in range(3):
                waiting = await settled(waiting)
                await kit.backend.load()
                await inside.apply(whole(number, "routes/a"))
                if isinstance(kit.backend, SupportsLease):
                    for _ in range(3):
                        await kit.backend.acquire_lease("the kit", 60)
                    await kit.backend.release_lease()
                assert await settled(waiting) is waiting, (
                    "watch() must tell of changes of its own table only: not of leases, reads, or other prefixes."
                )
                await kit.backend.apply(whole(number, "routes/b"))
                await in_time(waiting, "watch() must tell of changes.")
                waiting = asyncio.create_task(_next(watch))
            waiting.cancel()
            await asyncio.wait([waiting])

    @asynchronous
    async def test_several_watches_are_told(self, kit: Kit) -> None:
        other = await kit.opened()
        async with watching(kit.backend) as one, watching(kit.backend) as two, watching(other) as three:
            for number in range(3):
                await kit.backend.apply(whole(number, "routes/a"))
                for watch in (one, two, three):
                    await told(watch, "Each of several watches must be told.")
            await two.aclose()
            await kit.backend.apply(whole(0, "routes/a"))
            for watch in (one, three):
                await told(watch, "A watch must go on when another ends.")

    @asynchronous
    async def test_a_watch_ends_by_aclose(self, kit: Kit) -> None:
        """Wherever it is: before it began, at a yield, or waiting."""
        before = asyncio.all_tasks()
        async with watching(kit.backend) as watch:
            pass
        with pytest.raises(StopAsyncIteration):
            await anext(watch)
        await _watch(kit.backend).aclose()
        async with watching(kit.backend) as watch:
            waiting = asyncio.create_task(_next(watch))
            await kit.backend.load()
            waiting.cancel()
            await asyncio.wait([waiting])
        await until(lambda: asyncio.all_tasks() <= before, "aclose() must leave no task behind.")
        await kit.backend.apply(whole(1, "routes/a"))
        await kit.holds({"routes/a": "1"}, "A backend must be usable after a watch of it has ended.")


@asynccontextmanager
async def watching(backend: Backend) -> AsyncIterator[Watch]:
    """A watch that has begun; it ends with the block."""
    watch = _watch(backend)
    try:
        await told(watch, "watch() must yield once when it has begun.")
        yield watch
    finally:
        await watch.aclose()


async def told(watch: Watch, rule: str) -> None:
    """The next yield of `watch`; if none comes, `rule` is broken."""
    try:
        await in_time(anext(watch), rule)
    except StopAsyncIteration:
        raise AssertionError("watch() must not end by itself.") from None


async def _next(watch: Watch) -> None:
    await anext(watch)


def _watch(backend: Backend) -> Watch:
    if not isinstance(backend, SupportsWatch):
        pytest.skip(f"{type(backend).__name__} has no watch()")
    watch = backend.watch()
    assert hasattr(watch, "aclose"), "watch() must be an async generator: it ends by aclose()."
    return cast(Watch, watch)
