"""Tests of calls whose connection breaks: at each request that they send, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from ..errors import BackendUnavailable, LeaseHeld, LeaseLost
from ..store.contract import Batch, SupportsLease
from ._far import AFTER, BEFORE, CHANGE, Far, FarSuite, Outages, is_held, together
from ._kit import asynchronous, ended

_LONG = 600.0
_WHOLE = "A change whose connection breaks must be made whole, or not at all."
_TRUE = "apply() must not return when its change was not made."
_NEWER = Batch({"routes/a": "newer", "routes/b": "newer"})


class BrokenCallTests(FarSuite):
    """A request gets lost, its answer gets lost, or it arrives late."""

    @asynchronous
    async def test_a_request_that_gets_lost(self, outages: Outages) -> None:
        async def scene(number: int) -> None:
            async with outages.far(f"lost-{number}") as far:
                outcome = await _cut(outages, far, _apply, number, far.line.hold_request)
                table = await outages.loaded(far)
                assert table in (BEFORE, AFTER), _WHOLE
                assert table == AFTER or outcome is not None, _TRUE
                await outages.goes_on(far, table)

        await together(*map(scene, await outages.steps("lost", _apply)))

    @asynchronous
    async def test_a_change_whose_answer_gets_lost(self, outages: Outages) -> None:
        """Its outcome is not known, so it is not said to be made, and not made again over what others wrote since."""

        made: dict[int, BackendUnavailable | None] = {}

        async def scene(number: int, is_cut: bool) -> None:
            async with outages.far(f"answer-{number}-{is_cut}") as far:
                is_made = False
                held = far.line.requests + number
                far.line.hold_answer(number)
                calling = asyncio.create_task(_apply(far))
                if await is_held(far.line, calling):
                    # Not by a later request: the driver may have given up this one, and tried again.
                    is_made = await outages.kit.raw(far.near) == AFTER and far.line.requests == held
                    if is_made:
                        await far.near.apply(_NEWER)
                    if is_cut:
                        await far.line.cut()
                outcome = await outages.outcome(calling, "apply()")
                table = await outages.loaded(far)
                if is_made:
                    made[number] = outcome and made.get(number, outcome)
                    assert table == AFTER | dict(_NEWER.changes), (
                        "apply() must not make a change again when the answer gets lost: others may have written since."
                    )
                else:
                    assert table in (BEFORE, AFTER), _WHOLE
                    assert table == AFTER or outcome is not None, _TRUE
                await outages.goes_on(far, table)

        steps = await outages.steps("answer", _apply)
        await together(*(scene(number, is_cut) for number in steps for is_cut in (True, False)))
        assert made, "The driver must make a change in apply()."
        assert made[min(made)], "apply() must raise BackendUnavailable when the answer to its change gets lost."

    @asynchronous
    async def test_a_change_that_comes_late(self, outages: Outages) -> None:
        """What was given up does not come to be after the table was loaded, nor over what was written since."""

        async def scene(number: int) -> None:
            async with outages.far(f"late-{number}") as far:
                far.line.hold_request(number)
                calling = asyncio.create_task(_apply(far))
                if not await is_held(far.line, calling):
                    await outages.outcome(calling, "apply()")
                    return
                outcome = await outages.outcome(calling, "apply()")
                table = await outages.loaded(far)
                assert table in (BEFORE, AFTER), _WHOLE
                assert table == AFTER or outcome is not None, _TRUE
                await outages.within(far.line.deliver(), "What is delivered late")
                rule = "A change that load() did not return must not be made later, though it is still on its way."
                assert await outages.loaded(far) == table, rule
                await outages.kit.holds(table, rule, far.near)
                await outages.goes_on(far, table)

        await together(*map(scene, await outages.steps("late", _apply)))

    @asynchronous
    async def test_a_lease_that_runs_out_within_a_change(self, outages: Outages) -> None:
        """The change is held until another has the lease: it is no longer made then."""
        if not isinstance(outages.kit.backend, SupportsLease):
            pytest.skip(f"{type(outages.kit.backend).__name__} has no acquire_lease()")
        assert self.time_limit > self.shortest_lease, "`time_limit` must be longer than `shortest_lease`."

        async def scene(number: int) -> None:
            async with outages.far(f"fence-{number}") as far:
                other: Any = far.near
                await outages.repeated(partial(_acquired, far, self.shortest_lease), "acquire_lease()")
                far.line.hold_request(number)
                calling = asyncio.create_task(_apply(far))
                if not await is_held(far.line, calling):
                    with suppress(LeaseLost, BackendUnavailable):  # also of a machine that is too slow for the limit
                        await calling
                    return
                await outages.within(_takes_over(other), "acquire_lease() of another, when a lease has run out,")
                table = await outages.repeated(other.load, "load()")
                await outages.within(far.line.deliver(), "What is delivered late")
                with suppress(LeaseLost, BackendUnavailable):
                    await outages.within(calling, "apply()")
                rule = "The store must check the lease in the transaction of the change, and not before."
                await outages.kit.holds(table.keys, rule, far.near)

        await together(*map(scene, await _steps_with_the_lease(outages, "fence", _apply)))

    @asynchronous
    async def test_a_release_that_comes_late(self, outages: Outages) -> None:
        """It does not end the lease that the same object has acquired since."""
        if not isinstance(outages.kit.backend, SupportsLease):
            pytest.skip(f"{type(outages.kit.backend).__name__} has no acquire_lease()")

        async def scene(number: int) -> None:
            async with outages.far(f"release-{number}") as far:
                await outages.repeated(partial(_acquired, far), "acquire_lease()")
                far.line.hold_request(number)
                calling = asyncio.create_task(_released(far))
                is_late = await is_held(far.line, calling)
                await outages.outcome(calling, "release_lease()")
                await outages.repeated(partial(_acquired, far), "acquire_lease() after a release that failed")
                if is_late:
                    await outages.within(far.line.deliver(), "What is delivered late")
                try:
                    await outages.repeated(partial(_apply, far), "apply()")
                except LeaseLost as error:
                    raise AssertionError(
                        "A release that comes late must not end a lease that was acquired after it."
                    ) from error

        await together(*map(scene, await _steps_with_the_lease(outages, "release", _released)))

    @asynchronous
    async def test_other_calls_whose_connection_breaks(self, outages: Outages) -> None:
        """`load` returns the whole table or fails; `acquire_lease` and `open` can be made again."""

        async def scene(what: str, call: Callable[[Far], Awaitable[Any]], number: int, is_answer: bool) -> None:
            async with outages.far(f"{what}-{number}-{is_answer}", is_opened=what != "open()") as far:
                hold = far.line.hold_answer if is_answer else far.line.hold_request
                outcome = await _cut(outages, far, call, number, hold)
                if what == "load()" and not isinstance(outcome, BackendUnavailable):
                    assert outcome.keys == BEFORE, "load() must return the whole table, or raise BackendUnavailable."
                await outages.repeated(lambda: call(far), what)
                await outages.goes_on(far, BEFORE)

        calls: dict[str, Callable[[Far], Awaitable[Any]]] = {"open()": _open, "load()": _load}
        if isinstance(outages.kit.backend, SupportsLease):
            calls["acquire_lease()"] = _acquired
        for what, call in calls.items():
            steps = await outages.steps(what, call, is_opened=what != "open()")
            await together(*(scene(what, call, number, is_answer) for number in steps for is_answer in (False, True)))

    @asynchronous
    async def test_a_call_that_is_cancelled_while_its_answer_comes(self, outages: Outages) -> None:
        """The answer is not taken for that to another call."""

        async def scene(what: str, call: Callable[[Far], Awaitable[Any]], number: int) -> None:
            async with outages.far(f"cancelled-{what}-{number}") as far:
                far.line.hold_answer(number)
                calling = asyncio.create_task(_awaited(call(far)))
                if not await is_held(far.line, calling):
                    await outages.outcome(calling, what)
                    return
                await ended(calling, what)
                await far.line.deliver()
                table = await outages.loaded(far)
                assert table in (BEFORE, AFTER), _WHOLE
                await outages.goes_on(far, table)

        for what, call in (("load()", _load), ("apply()", _apply)):
            await together(*(scene(what, call, number) for number in await outages.steps(f"cancelled-{what}", call)))


async def _steps_with_the_lease(outages: Outages, name: str, call: Callable[[Far], Awaitable[object]]) -> list[int]:
    """The numbers of the requests that `call` sends when it is made with the lease and nothing breaks."""
    steps = list[int]()

    async def counted(far: Far) -> None:
        await _acquired(far)
        before = far.line.requests
        await call(far)
        steps[:] = range(1, far.line.requests - before + 1)

    await outages.steps(name, counted)
    return steps


async def _cut(
    outages: Outages, far: Far, call: Callable[[Far], Awaitable[Any]], number: int, hold: Callable[[int], None]
) -> Any:
    """Make `call`, and cut the line when what it was told to hold is there: what it returns, or BackendUnavailable."""
    hold(number)
    calling = asyncio.create_task(_awaited(call(far)))
    if await is_held(far.line, calling):
        await far.line.cut()
    return await outages.outcome(calling, call.__name__.strip("_"))


async def _takes_over(other: SupportsLease) -> None:
    while True:
        with suppress(LeaseHeld, BackendUnavailable):
            await other.acquire_lease("other", _LONG)
            return
        await asyncio.sleep(0.02)


async def _awaited(coming: Awaitable[Any]) -> Any:
    return await coming


async def _open(far: Far) -> None:
    await far.backend.open()


async def _load(far: Far) -> Any:
    return await far.backend.load()


async def _apply(far: Far) -> None:
    await far.backend.apply(CHANGE)


async def _acquired(far: Far, ttl: float = _LONG) -> None:
    assert isinstance(far.backend, SupportsLease)
    await far.backend.acquire_lease("far", ttl)


async def _released(far: Far) -> None:
    assert isinstance(far.backend, SupportsLease)
    await far.backend.release_lease()
