"""Tests of calls while the store cannot be reached, or does not answer."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from ..errors import BackendError
from ..store.contract import SupportsLease, SupportsLeaseReport
from ._errors import secret_traits
from ._far import AFTER, BEFORE, CHANGE, OUTAGES, Far, FarSuite, Outages, together
from ._kit import asynchronous, until

_LONG = 600.0


class OutageTests(FarSuite):
    """`open`, `load`, `apply`, `close` and the lease, without the store."""

    @asynchronous
    async def test_open_without_the_store(self, outages: Outages) -> None:
        async def scene(outage: str) -> None:
            async with outages.far(f"open-{outage}", is_opened=False) as far:
                await OUTAGES[outage](far.line)
                await outages.refused(far.backend.open(), "open()")
                await far.line.mend()
                await outages.repeated(far.backend.open, "open()")
                await outages.goes_on(far, BEFORE)

        await together(*map(scene, OUTAGES))

    @asynchronous
    async def test_load_without_the_store(self, outages: Outages) -> None:
        """It raises an error, and returns no empty table."""
        await together(*(_without(outages, outage, "load()", lambda far: far.backend.load()) for outage in OUTAGES))

    @asynchronous
    async def test_apply_without_the_store(self, outages: Outages) -> None:
        def call(far: Far) -> Awaitable[Any]:
            return far.backend.apply(CHANGE)

        await together(*(_without(outages, outage, "apply()", call) for outage in OUTAGES))

    @asynchronous
    async def test_the_lease_without_the_store(self, outages: Outages) -> None:
        if not isinstance(outages.kit.backend, SupportsLease):
            pytest.skip(f"{type(outages.kit.backend).__name__} has no acquire_lease()")

        async def scene(outage: str) -> None:
            async with outages.far(f"lease-{outage}") as far, outages.far(f"lease-{outage}") as other:
                assert isinstance(far.backend, SupportsLease)
                assert isinstance(other.backend, SupportsLease)
                await OUTAGES[outage](far.line)
                await outages.refused(far.backend.acquire_lease("far", _LONG), "acquire_lease()")
                await outages.outcome(far.backend.release_lease(), "release_lease()")
                await far.line.mend()
                acquire, release = far.backend.acquire_lease, far.backend.release_lease
                await outages.repeated(lambda: acquire("far", _LONG), "acquire_lease()")
                await outages.repeated(lambda: far.backend.apply(CHANGE), "apply() with the lease")
                await outages.repeated(release, "release_lease()")
                await outages.within(other.backend.acquire_lease("other", _LONG), "acquire_lease()")

        await together(*map(scene, OUTAGES))

    @asynchronous
    async def test_who_has_the_lease_is_not_known_without_the_store(self, outages: Outages) -> None:
        """It raises an error, and does not say that nobody has it."""
        if not isinstance(outages.kit.backend, SupportsLeaseReport):
            pytest.skip(f"{type(outages.kit.backend).__name__} has no read_lease()")

        def call(far: Far) -> Awaitable[Any]:
            assert isinstance(far.backend, SupportsLeaseReport)
            return far.backend.read_lease()

        await together(*(_without(outages, outage, "read_lease()", call) for outage in OUTAGES))

    @asynchronous
    async def test_close_without_the_store(self, outages: Outages) -> None:
        """It releases what is on this side."""
        before = asyncio.all_tasks()

        async def scene(outage: str) -> None:
            async with outages.far(f"close-{outage}") as far:
                if isinstance(far.backend, SupportsLease):
                    await far.backend.acquire_lease("far", _LONG)
                await OUTAGES[outage](far.line)
                await outages.outcome(far.backend.close(), "close()")
                await until(
                    lambda: not far.line.connections,
                    "close() must close all connections, also to a store that is away.",
                )
                await far.line.mend()
                await outages.repeated(far.backend.open, "open() after close()")
                assert await outages.loaded(far) == BEFORE

        await together(*map(scene, OUTAGES))
        await outages.kit._close()
        await until(lambda: asyncio.all_tasks() <= before, "close() must leave no task behind, also without the store.")

    @asynchronous
    async def test_a_store_that_does_not_answer_does_not_block_the_event_loop(self, outages: Outages) -> None:
        """The line, and what makes it answer, run in this loop. Who waits for the store in it waits for ever."""
        async with outages.far("loop") as far:
            for call in (far.backend.load, lambda: far.backend.apply(CHANGE)):
                far.line.hold_answer(1)
                calling = asyncio.create_task(_awaited(call))
                await outages.within(far.line.held(), "A call must not block the event loop while it waits: it")
                await far.line.deliver()
                await outages.within(calling, "A call whose answer comes")
            await outages.goes_on(far, AFTER)

    @asynchronous
    async def test_an_outage_shows_no_secret(self, outages: Outages) -> None:
        async def scene(name: str, outage: str) -> None:
            marker = f"marker-{uuid4().hex}"
            async with outages.far(f"secret-{name}-{outage}", is_opened=False, **{name: marker}) as far:
                await OUTAGES[outage](far.line)
                with pytest.raises(BackendError) as raised:
                    await outages.within(far.backend.open(), "open()")
                error = raised.value
                shown = "".join([str(error), repr(error), *traceback.format_exception(error)])
                assert marker not in shown, f"No error may contain the value of {type(far.backend).__name__}.{name}."

        names = secret_traits(outages.kit.backend)
        await together(*(scene(name, outage) for name in names for outage in OUTAGES))


async def _without(outages: Outages, outage: str, what: str, call: Callable[[Far], Awaitable[Any]]) -> None:
    """Make `call` twice, as it fails for another reason when the connection is known to be broken."""
    async with outages.far(f"{what[:4]}-{outage}") as far:
        await far.backend.load()
        await OUTAGES[outage](far.line)
        for _ in range(2):
            await outages.refused(call(far), what)
        await far.line.mend()
        table = await outages.loaded(far)
        assert table in (BEFORE, AFTER), "A change whose outcome is not known must be made whole, or not at all."
        await outages.goes_on(far, table)


async def _awaited(call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()
