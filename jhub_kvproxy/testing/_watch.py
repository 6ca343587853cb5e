"""Tests of the watch: SupportsWatch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from ..aio import cancel
from ..errors import BackendUnavailable
from ..store.contract import Backend, Batch, SupportsLease, SupportsWatch, Told
from ._kit import Kit, Suite, asynchronous, batch_of, ended, in_time, until

Watch = AsyncGenerator[Told | None]

_COMMITS = 60


class WatchTests(Suite):
    """`watch`, for backends that have it."""

    @asynchronous
    async def test_a_watch_tells_of_own_changes(self, kit: Kit) -> None:
        async with watching(kit.backend) as watch:
            for number in range(3):
                await kit.backend.apply(batch_of(number, "routes/a"))
                await next_change(watch, "watch() must yield after a change by the same object.")

    @asynchronous
    async def test_a_watch_tells_of_others_changes(self, kit: Kit) -> None:
        other = await kit.opened()
        async with watching(kit.backend) as watch:
            for number in range(3):
                await other.apply(batch_of(number, "routes/a"))
                await next_change(watch, "watch() must yield after a change by another object.")
            await kit.fill({"routes/a": None}, other)
            await next_change(watch, "watch() must yield after a key is deleted, also the last key.")
            await other.apply(batch_of("x", "routes/new", "traefik/http/routers/new/rule"))
            await next_change(watch, "watch() must yield after new keys were written.")

    @asynchronous
    async def test_a_watch_tells_one_who_waits(self, kit: Kit) -> None:
        other = await kit.opened()
        async with watching(kit.backend) as watch:
            waiting = asyncio.create_task(_next(watch))
            await kit.backend.load()  # other methods may be called meanwhile
            await kit.backend.apply(batch_of(0, "routes/a"))
            await in_time(waiting, "watch() must wake a task that waits for a change.")
            waiting = asyncio.create_task(_next(watch))
            await other.apply(batch_of(1, "routes/a"))
            await in_time(waiting, "watch() must wake a task that waits for a change.")

    @asynchronous
    async def test_a_watch_loses_nothing_between_two_looks(self, kit: Kit) -> None:
        """A slow reader that loads after each yield reads the last state in the end, however quick the changes."""
        other = await kit.opened()
        async with watching(kit.backend) as watch:
            for burst in range(5):
                for number in range(1 + burst * 2):
                    await other.apply(batch_of(f"{burst}-{number}", "routes/a"))
                last = {"routes/a": f"{burst}-{burst * 2}"}
                await next_change(watch, "watch() must yield for changes that were made between two iterations.")
                while (await kit.backend.load()).keys != last:
                    await next_change(watch, "watch() must yield again after the last of several quick changes.")
            for number in range(6):  # a change while the watch yields for the one before
                await asyncio.gather(
                    next_change(watch, "watch() must yield for a change that comes while it yields for another."),
                    other.apply(batch_of(number, "routes/b")),
                )

    @asynchronous
    async def test_a_watch_tells_of_nothing_else(self, kit: Kit) -> None:
        """No yield for reads, leases, or other prefixes. Changes on another prefix show that time has passed."""
        elsewhere = await kit.opened(kit.prefix + "2")
        inside = await kit.opened(kit.prefix + "/routes")
        changes = count()

        async with watching(kit.backend) as watch, watching(elsewhere) as control:

            async def settled(waiting: asyncio.Task[None]) -> asyncio.Task[None]:
                """A task that waits for the next yield, and that no change so far can end."""
                for _ in range(10):
                    for _ in range(2):
                        await elsewhere.apply(batch_of(next(changes), "routes/a"))
                        await next_change(control, "watch() must yield after changes.")
                    if not waiting.done():
                        return waiting
                    await waiting
                    waiting = asyncio.create_task(_next(watch))
                raise AssertionError("watch() must not yield again and again for one change.")

            waiting = asyncio.create_task(_next(watch))
            for number in range(3):
                waiting = await settled(waiting)
                await kit.backend.load()
                await inside.apply(batch_of(number, "routes/a"))
                if isinstance(kit.backend, SupportsLease):
                    for _ in range(3):
                        await kit.backend.acquire_lease("the kit", 60)
                    await kit.backend.release_lease()
                assert await settled(waiting) is waiting, (
                    "watch() must yield for changes of its own table only: not for leases, reads, or other prefixes."
                )
                await kit.backend.apply(batch_of(number, "routes/b"))
                await in_time(waiting, "watch() must yield after changes.")
                waiting = asyncio.create_task(_next(watch))
            await ended(waiting, "watch()")

    @asynchronous
    async def test_several_watches_are_told(self, kit: Kit) -> None:
        other = await kit.opened()
        async with watching(kit.backend) as one, watching(kit.backend) as two, watching(other) as three:
            for number in range(3):
                await kit.backend.apply(batch_of(number, "routes/a"))
                for watch in (one, two, three):
                    await next_change(watch, "Each of several watches must yield.")
            await two.aclose()
            await kit.backend.apply(batch_of(0, "routes/a"))
            for watch in (one, three):
                await next_change(watch, "A watch must go on when another ends.")

    @asynchronous
    async def test_a_watch_tells_what_has_changed_and_nothing_else(self, kit: Kit) -> None:
        """If it tells; what it tells of one commit comes at once."""
        other = await kit.opened()
        await other.apply(batch_of(1, "routes/a", "routes/b", "routes/c", "routes/d"))
        batches: list[dict[str, str | None]] = [
            {"routes/a": "2"},
            {"routes/a": "3", "routes/b": None, "routes/c": "3"},
            {"routes/e": "1", "traefik/http/routers/e/rule": "1"},
            {"routes/a": None, "routes/c": None, "routes/e": None, "traefik/http/routers/e/rule": None},
        ]
        async with watching(kit.backend) as watch:
            follower = _Follower(kit.backend)
            await follower.load()
            for changes in batches:
                await other.apply(Batch(changes))
                told = await next_change(watch, "watch() must yield after a change by another object.")
                assert told is None or dict(told) == changes, (
                    "A yield of watch() must be None, or all keys that have changed since the yield before, no others, "
                    "with their values now, or None for a key that is gone."
                )
                await follower.take(told)
                await kit.holds(follower.table, "What watch() tells must lead to the table.")

    @asynchronous
    async def test_a_watch_tells_also_of_what_changed_back(self, kit: Kit) -> None:
        """Who follows it may have loaded in between."""
        other = await kit.opened()
        await other.apply(batch_of(1, "routes/a"))
        async with watching(kit.backend) as watch:
            follower = _Follower(kit.backend)
            for number in range(3):
                await other.apply(batch_of(2, "routes/a", "routes/b"))
                await follower.load()
                await other.apply(Batch({"routes/a": "1", "routes/b": None, "routes/c": f"{number}"}))
                expected = {"routes/a": "1", "routes/c": f"{number}"}
                await kit.holds(expected)
                rule = "watch() must yield for a key that has changed and changed back: it was loaded in between."
                await follower.take(await next_change(watch, rule))
                while follower.table != expected:
                    await follower.take(await next_change(watch, rule))

    @asynchronous
    async def test_who_follows_a_watch_sees_whole_commits(self, kit: Kit) -> None:
        """A writer swaps the values of two keys in each batch, and makes and deletes others."""
        other = await kit.opened()
        left, right = "routes/!left", "routes/~right"
        expected = {left: "1", right: "2"}
        await other.apply(Batch(dict(expected)))

        is_last = False

        async def write() -> None:
            nonlocal is_last
            for number in range(_COMMITS):
                changes: dict[str, str | None] = {left: expected[right], right: expected[left]}
                for key in (f"routes/{number % 7}", f"routes/{number % 11}x"):
                    changes[key] = None if key in expected else str(number)
                for key, value in changes.items():
                    if value is None:
                        del expected[key]
                    else:
                        expected[key] = value
                is_last = number == _COMMITS - 1
                await other.apply(Batch(changes))
                await asyncio.sleep(0.01 * (number % 3))

        async with watching(kit.backend) as watch:
            follower = _Follower(kit.backend)
            await follower.load()
            writing = asyncio.create_task(write())
            try:
                while not (is_last and follower.table == expected):
                    told = await next_change(watch, "What watch() tells must lead to the table when changes end.")
                    await follower.take(told)
                    assert {follower.table[left], follower.table[right]} == {"1", "2"}, (
                        "A yield of watch() must have whole commits; this one has a part."
                    )
                await writing
            finally:
                await cancel([writing])

    @asynchronous
    async def test_close_ends_a_watch_by_an_error(self, kit: Kit) -> None:
        async with watching(kit.backend) as waiting, watching(kit.backend) as idle:
            coming = asyncio.create_task(_next(waiting))
            await kit.backend.load()
            await kit.backend.close()
            rule = "A watch that is open must raise BackendUnavailable when its backend is closed."
            for call in (coming, anext(idle)):
                try:
                    await in_time(call, rule)
                except BackendUnavailable:
                    continue
                except StopAsyncIteration:
                    pass
                pytest.fail(rule)
        await kit.backend.open()
        async with watching(kit.backend) as watch:
            await kit.backend.apply(batch_of(1, "routes/a"))
            await next_change(watch, "After close() and open(), watch() must work as before.")

    @asynchronous
    async def test_a_watch_ends_by_aclose(self, kit: Kit) -> None:
        """Before it has begun, at a yield, and while it waits."""
        before = asyncio.all_tasks()
        async with watching(kit.backend) as watch:
            pass
        with pytest.raises(StopAsyncIteration):
            await anext(watch)
        await _watch(kit.backend).aclose()
        async with watching(kit.backend) as watch:
            waiting = asyncio.create_task(_next(watch))
            await kit.backend.load()
            await ended(waiting, "watch()")
        await until(lambda: asyncio.all_tasks() <= before, "aclose() must leave no task behind.")
        await kit.backend.apply(batch_of(1, "routes/a"))
        await kit.holds({"routes/a": "1"}, "A backend must be usable after its watch has ended.")


@asynccontextmanager
async def watching(backend: Backend) -> AsyncIterator[Watch]:
    """A watch that has begun; it ends when the block ends."""
    watch = _watch(backend)
    try:
        first = await next_change(watch, "watch() must yield once when it has begun.")
        assert first is None, "The first yield of watch() must be None."
        yield watch
    finally:
        await in_time(watch.aclose(), "watch() must end by aclose().")


async def next_change(watch: Watch, rule: str) -> Told | None:
    """The next yield of `watch`; AssertionError with the text `rule` if none comes."""
    try:
        return await in_time(anext(watch), rule)
    except StopAsyncIteration:
        raise AssertionError("watch() must not end by itself.") from None


async def _next(watch: Watch) -> None:
    await anext(watch)


class _Follower:
    """Knows the table by a watch: it makes the changes that the watch tells, and loads if it does not tell."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.table: dict[str, str] = {}

    async def load(self) -> None:
        self.table = dict((await self._backend.load()).keys)

    async def take(self, told: Told | None) -> None:
        if told is None:
            await self.load()
            return
        for key, value in told.items():
            if value is None:
                self.table.pop(key, None)
            else:
                self.table[key] = value


def _watch(backend: Backend) -> Watch:
    if not isinstance(backend, SupportsWatch):
        pytest.skip(f"{type(backend).__name__} has no watch()")
    watch = backend.watch()
    assert hasattr(watch, "aclose"), "watch() must be an async generator: it ends by aclose()."
    return watch
