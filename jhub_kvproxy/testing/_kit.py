"""What every suite stands on: the store under test, and objects of the driver on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, ClassVar, TypeVar, cast

import pytest
import pytest_asyncio

from ..store.batches import Limits, cut
from ..store.contract import Backend, Batch

T = TypeVar("T")

#: Seconds that a test waits for what must come; never how long something may take.
PATIENCE = 60.0
_INTERVAL = 0.02


async def until(condition: Callable[[], Any], why: str) -> None:
    """Wait for `condition`, a function or coroutine function, to be true; AssertionError with `why` after a minute."""
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        if time.monotonic() > deadline:
            raise AssertionError(why)
        await asyncio.sleep(_INTERVAL)


async def in_time(coming: Awaitable[T], why: str) -> T:
    """What `coming` comes to; AssertionError with `why` if it has not come after a minute."""
    try:
        return await asyncio.wait_for(coming, PATIENCE)
    except TimeoutError:
        raise AssertionError(why) from None


class Kit:
    """The store under test: makes objects of the driver on it, and closes them with the test."""

    def __init__(
        self, first: Backend, read_raw: Callable[[Any], Awaitable[Mapping[str, str]]], unsupported_characters: str
    ) -> None:
        #: What the fixture ``backend`` gave, opened.
        self.backend = first
        self.prefix = first.prefix
        self._read_raw = read_raw
        self._unsupported = frozenset(unsupported_characters)
        self._stack = AsyncExitStack()

    def new(self, prefix: str | None = None, **traits: Any) -> Backend:
        """Another object with the same traits, or with these; not opened. On `prefix`, or on the same one."""
        own = self.backend.trait_values(config=True)
        backend = type(self.backend)(**own | traits, prefix=prefix or self.prefix)
        self._stack.push_async_callback(backend.close)
        return backend

    async def opened(self, prefix: str | None = None) -> Backend:
        """Another object with the same traits, opened."""
        backend = self.new(prefix)
        await backend.open()
        return backend

    async def close(self) -> None:
        await self._stack.aclose()

    async def fill(self, changes: Mapping[str, str | None], backend: Backend | None = None) -> None:
        """Apply `changes`, in as many batches as the driver's limits ask for."""
        backend = backend or self.backend
        for part in cut(dict(changes), {}, Limits(backend.max_txn_ops, backend.max_txn_bytes)):
            await backend.apply(Batch(part))

    async def raw(self, backend: Backend | None = None) -> dict[str, str]:
        """What stands in the store on the prefix of `backend`, read without the driver."""
        return dict(await self._read_raw(backend or self.backend))

    async def holds(self, expected: Mapping[str, str], rule: str = "", backend: Backend | None = None) -> None:
        """Assert that the table is `expected`, to `backend` and to who reads the store without the driver.

        `rule` says what is broken otherwise.
        """
        backend = backend or self.backend
        loaded = dict((await backend.load()).keys)
        assert loaded == expected, rule or "load() must return what was applied, byte for byte, and nothing more."
        raw = await self.raw(backend)
        assert raw == expected, f"{rule or 'What load() returns must be what stands in the store.'} (seen by read_raw)"

    def can_hold(self, text: str) -> bool:
        """Whether `text` has only characters that the store can hold."""
        return self._unsupported.isdisjoint(text)


class Suite:
    """Base of the suites: what a driver's author gives."""

    #: Characters that the store cannot hold, if that cannot be helped. The core writes printable ASCII only.
    unsupported_characters: ClassVar[str] = ""

    @pytest.fixture
    def backend(self) -> Backend:
        """An object of the driver: constructed, not opened, on a prefix that nobody else uses. Yours to write."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `backend` that returns a Backend.")

    async def read_raw(self, backend: Any) -> Mapping[str, str]:
        """The table on the prefix of `backend`, read without the driver. Yours to write.

        Its keys are relative, as :meth:`jhub_kvproxy.Backend.load` has them, without the lease and without
        what the driver keeps for itself.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a coroutine method `read_raw(self, backend)`.")

    @pytest_asyncio.fixture(loop_scope="function")
    async def kit(self, backend: Backend) -> AsyncIterator[Kit]:
        """The store, with ``backend`` opened. Everything is closed with the test."""
        kit = Kit(backend, self.read_raw, self.unsupported_characters)
        try:
            await backend.open()
            yield kit
        finally:
            await kit.close()
            await backend.close()


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Marks a coroutine function as a test for pytest-asyncio, whatever mode and loop its user has chosen."""
    return cast(Callable[..., Coroutine[Any, Any, None]], pytest.mark.asyncio(loop_scope="function")(test))


def whole(value: object, *keys: str) -> Batch:
    """A batch that writes `value` to each key."""
    return Batch(dict.fromkeys(keys, str(value)))
