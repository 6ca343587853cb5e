"""Objects of the driver that reach the store over lines, for the tests of outages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

import pytest

from ..aio import cancel
from ..errors import BackendUnavailable
from ..store.contract import Backend, Batch
from ._kit import Kit, Suite, batch_of
from .line import Line

T = TypeVar("T")

#: Seconds that a call may take beyond its time limit, on a busy machine.
GRACE = 30.0

BEFORE = {"routes/a": "1", "routes/b": "1", "traefik/http/routers/a/rule": "1"}
CHANGE = Batch({"routes/a": "2", "routes/b": None, "traefik/http/routers/a/rule": "2"})
AFTER = {"routes/a": "2", "traefik/http/routers/a/rule": "2"}


@dataclass(frozen=True, slots=True)
class Far:
    """An object of the driver that reaches the store over a line, and one on the same prefix that does not."""

    line: Line
    backend: Backend
    near: Backend


class Outages:
    """The store under test, at the end of lines that break."""

    def __init__(
        self, kit: Kit, address: tuple[str, int], through: Callable[[str, int], Mapping[str, Any]], limit: float
    ) -> None:
        self.kit = kit
        self.limit = limit
        self._address = address
        self._through = through

    @asynccontextmanager
    async def far(self, name: str = "", *, is_opened: bool = True, **traits: Any) -> AsyncIterator[Far]:
        """An object on a line of its own, and on a prefix of its own for each `name`, whose table is `BEFORE`."""
        async with Line(*self._address) as line:
            near = await self.kit.opened(f"{self.kit.prefix}-{name}")
            await near.apply(Batch(BEFORE))
            backend = self.kit.new(near.prefix, **{**self._through(line.host, line.port), **traits})
            try:
                if is_opened:
                    await self.repeated(backend.open, "open()")
                yield Far(line, backend, near)
            finally:
                await line.mend()
                await line.cut()
                with suppress(BackendUnavailable):
                    await self.within(backend.close(), "close()")

    async def within(self, coming: Awaitable[T], what: str) -> T:
        """Await `coming`, a call of the driver named `what`; AssertionError if it exceeds the time limit by far."""
        try:
            async with asyncio.timeout(self.limit + GRACE) as patience:
                return await coming
        except TimeoutError:
            if not patience.expired():
                raise
            raise AssertionError(
                f"{what} must end within the driver's time limit, also when the store does not answer."
            ) from None

    async def outcome(self, coming: Awaitable[T], what: str) -> T | BackendUnavailable:
        """What the call `coming` returns, or its BackendUnavailable; any other error fails the test."""
        try:
            return await self.within(coming, what)
        except BackendUnavailable as error:
            return error

    async def refused(self, coming: Awaitable[Any], what: str) -> BackendUnavailable:
        """The BackendUnavailable that the call must raise."""
        outcome = await self.outcome(coming, what)
        assert isinstance(outcome, BackendUnavailable), (
            f"{what} must raise BackendUnavailable when the store does not answer; it returned {outcome!r}."
        )
        return outcome

    async def repeated(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        """What `call` returns when it is made until it raises no BackendUnavailable."""

        failures: list[BackendUnavailable] = []

        async def repeat() -> T:
            while True:
                try:
                    return await call()
                except BackendUnavailable as error:
                    failures[:] = [error]
                await asyncio.sleep(0.02)

        try:
            return await self.within(repeat(), f"When nothing is broken, the driver must be usable: {what}")
        except AssertionError as error:
            if failures:
                raise AssertionError(f"{error} It raised {failures[-1]!r}.") from failures[-1]
            raise

    async def loaded(self, far: Far) -> dict[str, str]:
        """The table as the far object loads it, after an outage."""
        return dict((await self.repeated(far.backend.load, "load()")).keys)

    async def goes_on(self, far: Far, table: Mapping[str, str]) -> None:
        """Assert that the far object is usable after an outage that left `table`, and that nothing comes later."""
        assert await self.loaded(far) == table, "After an outage, nothing may change that nobody changes."
        await self.kit.holds(table, "After an outage, every object must see the same table.", far.near)
        writers = far.backend, far.near, far.backend
        for number, writer in enumerate(writers):
            batch = batch_of(number, "routes/a", "routes/last")
            await self.repeated(partial(writer.apply, batch), "apply()")
            expected = {**table, "routes/a": str(number), "routes/last": str(number)}
            assert await self.loaded(far) == expected, "After an outage, apply() and load() must work as before."
            await self.kit.holds(expected, "After an outage, apply() must work as before.", far.near)

    async def steps(self, name: str, call: Callable[[Far], Awaitable[object]], *, is_opened: bool = True) -> range:
        """The numbers of the requests that `call` sends when nothing breaks."""

        async def counted() -> range:
            async with self.far(f"{name}-0", is_opened=is_opened) as far:
                before = far.line.requests
                await call(far)
                return range(1, far.line.requests - before + 1)

        return await self.repeated(counted, "a call")


class FarSuite(Suite):
    """The base of the suites with lines: what a driver's author provides for them."""

    #: Seconds within which a call ends of an object with the options of :meth:`through`. Longer than `shortest_lease`.
    time_limit: ClassVar[float] = 2.0
    #: The shortest lease that the store can keep, in seconds.
    shortest_lease: ClassVar[float] = 1.0

    @pytest.fixture
    def address(self) -> tuple[str, int]:
        """Write this fixture: return the host and the port where the store's server listens."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `address` that returns a host and a port.")

    def through(self, host: str, port: int) -> Mapping[str, Any]:
        """Write this method: return the options of a driver that reaches the same store at `host` and `port`.

        Among them those that make its calls end within :attr:`time_limit`. All other options are those of ``backend``.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method `through(self, host, port)`.")

    @pytest.fixture(name="outages")
    def _outages(self, kit: Kit, address: tuple[str, int]) -> Outages:
        """The store, behind lines that break."""
        return Outages(kit, address, self.through, self.time_limit)


async def together(*scenes: Coroutine[Any, Any, None]) -> None:
    """Run `scenes` at the same time; when all have ended, raise the first error."""
    tasks = [asyncio.create_task(scene) for scene in scenes]
    try:
        results = await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await cancel(tasks)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def is_held(line: Line, call: asyncio.Task[Any]) -> bool:
    """Wait until `line` holds what it was told to, or `call` has ended: whether it holds it."""
    holding = asyncio.create_task(line.held())
    try:
        await asyncio.wait([holding, call], return_when=asyncio.FIRST_COMPLETED)
        return holding.done()
    finally:
        await cancel([holding])


async def refuse(line: Line) -> None:
    """A server that is down."""
    await line.refuse()


async def freeze(line: Line) -> None:
    """A server that is stopped, or a network that swallows all."""
    line.freeze()


async def break_and_freeze(line: Line) -> None:
    """A machine that was cut off, before a balancer that takes connections for it."""
    line.freeze()
    await line.cut()


#: What makes a store unavailable, by name.
OUTAGES: dict[str, Callable[[Line], Awaitable[None]]] = {
    "refused": refuse,
    "frozen": freeze,
    "broken and frozen": break_and_freeze,
}
