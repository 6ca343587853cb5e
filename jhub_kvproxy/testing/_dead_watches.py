"""Tests of watches whose connection breaks, or dies without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ..aio import cancel
from ..errors import BackendUnavailable
from ..store.contract import Batch, SupportsWatch
from ._far import BEFORE, CHANGE, OUTAGES, Far, FarSuite, Outages, refuse, together
from ._kit import asynchronous, until
from .line import Line

Watch = AsyncGenerator[Any]

#: A watch may yield when it is not sure, but not again and again.
_MOST_YIELDS = 10
_AGAIN = "watch() must not yield again and again when nothing has changed."


class DeadWatchTests(FarSuite):
    """`watch`, for backends that have it."""

    @asynchronous
    async def test_a_watch_begins_without_the_store(self, outages: Outages) -> None:
        async def scene(outage: str) -> None:
            async with _far(outages, f"begin-{outage}") as far:
                await OUTAGES[outage](far.line)
                watch = _watch(far)
                await outages.refused(anext(watch), "watch()")
                await watch.aclose()
                await far.line.mend()
                await _works(outages, far)

        await together(*map(scene, OUTAGES))

    @asynchronous
    async def test_a_watch_notices_that_the_store_is_away(self, outages: Outages) -> None:
        async def scene(outage: str) -> None:
            async with _far(outages, f"away-{outage}") as far, _watching(outages, far) as watch:
                await OUTAGES[outage](far.line)
                for _ in range(_MOST_YIELDS):
                    if isinstance(await outages.outcome(anext(watch), "A watch"), BackendUnavailable):
                        break
                else:
                    pytest.fail(_AGAIN)
                await far.line.mend()
                await _works(outages, far)

        await together(*map(scene, OUTAGES))

    @asynchronous
    async def test_a_watch_hides_no_gap(self, outages: Outages) -> None:
        """After its connection broke or died, it raises BackendUnavailable, or tells what changed meanwhile."""

        async def scene(name: str, breaks: Callable[[Line], Awaitable[None]]) -> None:
            async with _far(outages, f"gap-{name}") as far, _watching(outages, far) as watch:
                waiting = asyncio.create_task(_next(watch)) if name.endswith("waiting") else None
                if waiting:
                    await far.backend.load()
                await breaks(far.line)
                await far.near.apply(CHANGE)
                await far.line.mend()
                try:
                    told = await outages.outcome(waiting or anext(watch), "The next step of a watch with a gap")
                finally:
                    await cancel([waiting] if waiting else [])
                assert told is None or isinstance(told, BackendUnavailable) or dict(told) == CHANGE.changes, (
                    "A watch whose connection broke must raise BackendUnavailable, or tell all that changed meanwhile."
                )
                await _works(outages, far)

        breaks = {"refused": refuse, "cut": _cut, "dead": _die}
        await together(
            *(scene(name + end, breaks[name]) for name in breaks for end in (" idle", " waiting")),
        )

    @asynchronous
    async def test_a_watch_is_quiet_when_nothing_changes(self, outages: Outages) -> None:
        """For several time limits, in which it may look whether the store is there."""
        async with _far(outages, "quiet") as far, _watching(outages, far) as watch:
            waiting = asyncio.create_task(_next(watch))
            try:
                done, _ = await asyncio.wait([waiting], timeout=3 * outages.limit)
                assert not done, f"{_AGAIN} It came to {waiting}."
                await far.near.apply(CHANGE)
                await outages.within(waiting, "watch() must yield after a long quiet time; it")
            finally:
                await cancel([waiting])

    @asynchronous
    async def test_close_ends_a_watch_without_the_store(self, outages: Outages) -> None:
        """The watch raises BackendUnavailable, and its connection is closed."""

        async def scene(outage: str) -> None:
            async with _far(outages, f"close-{outage}") as far, _watching(outages, far) as watch:
                await OUTAGES[outage](far.line)
                await outages.outcome(far.backend.close(), "close()")
                await until(lambda: not far.line.connections, "close() must close the connections of a watch, too.")
                await outages.refused(anext(watch), "A watch whose backend is closed")

        await together(*map(scene, OUTAGES))

    @asynchronous
    async def test_a_watch_ends_without_the_store(self, outages: Outages) -> None:
        """By aclose(), and with all of its connections."""

        async def scene(outage: str) -> None:
            async with _far(outages, f"end-{outage}") as far:
                async with _watching(outages, far):
                    await OUTAGES[outage](far.line)
                await outages.outcome(far.backend.close(), "close()")
                await until(lambda: not far.line.connections, "A watch that has ended must leave no connection.")

        await together(*map(scene, OUTAGES))


@asynccontextmanager
async def _far(outages: Outages, name: str) -> AsyncIterator[Far]:
    if not isinstance(outages.kit.backend, SupportsWatch):
        pytest.skip(f"{type(outages.kit.backend).__name__} has no watch()")
    async with outages.far(name) as far:
        yield far


@asynccontextmanager
async def _watching(outages: Outages, far: Far) -> AsyncIterator[Watch]:
    watch = _watch(far)
    try:
        await outages.within(anext(watch), "watch()")
        yield watch
    finally:
        await outages.within(watch.aclose(), "A watch's aclose()")


async def _works(outages: Outages, far: Far) -> None:
    """Assert that a new watch of the far object works."""

    async def begun() -> Watch:
        watch = _watch(far)
        try:
            await anext(watch)
        except BaseException:
            await watch.aclose()
            raise
        return watch

    watch = await outages.repeated(begun, "watch()")
    try:
        await far.near.apply(CHANGE)
        await far.near.apply(Batch(BEFORE))
        await outages.within(anext(watch), "A watch after an outage must yield after a change; it")
    finally:
        await outages.within(watch.aclose(), "A watch's aclose()")


async def _next(watch: Watch) -> Any:
    return await anext(watch)


def _watch(far: Far) -> Watch:
    assert isinstance(far.backend, SupportsWatch)
    return far.backend.watch()


async def _cut(line: Line) -> None:
    await line.cut()


async def _die(line: Line) -> None:
    line.freeze_connections()
