"""The base of all suites: the store under test, and objects of the driver on it."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import wraps
from pathlib import Path
from reprlib import Repr
from typing import Any, ClassVar, TypeVar, cast

import pytest
import pytest_asyncio

from ..aio import cancel
from ..store.batches import Limits, cut_anywhere
from ..store.contract import Backend, Batch

T = TypeVar("T")

#: Seconds that a test waits for what must happen. It is no limit for how long something may take.
PATIENCE = 60.0
#: Seconds after which a test that still runs is ended, and says where it waited.
TEST_LIMIT = 600.0
_INTERVAL = 0.02
#: So many keys, and about so many characters of each value, does the error of two tables show.
_SHOWN = 5
_SHORT = Repr()
_SHORT.maxstring = 200


async def until(condition: Callable[[], Any], why: str) -> None:
    """Wait until `condition`, a function or coroutine function, returns a true value.

    Raises AssertionError with the text `why` after a minute.
    """
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
    """Await `coming` and return its result; AssertionError with the text `why` after a minute."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await coming
    except TimeoutError:
        raise AssertionError(why) from None


async def ended(task: asyncio.Task[Any], what: str) -> None:
    """Cancel `task`, which runs `what`, and wait until it has ended; AssertionError after a minute."""
    task.cancel()
    _, left = await asyncio.wait([task], timeout=PATIENCE)
    if left:
        await cancel([task])
        raise AssertionError(
            f"{what} must end when it is cancelled. In Python 3.11, asyncio.wait_for may swallow a cancellation: use "
            "asyncio.timeout, or jhub_kvproxy.in_thread for threads."
        )


def assert_same(found: Mapping[str, str], expected: Mapping[str, str], rule: str) -> None:
    """Assert that two tables are equal; if not, the error shows `rule`, and the first keys that differ.

    On CI, pytest compares all lines of a plain ``assert found == expected``: minutes, if thousands of keys differ.
    """
    __tracebackhide__ = True
    differing = sorted(
        (key for key in {*found, *expected} if not (key in found and key in expected and found[key] == expected[key])),
        key=str,
    )
    if differing:
        first = [f"{_SHORT.repr(key)} is {_held(found, key)}, not {_held(expected, key)}" for key in differing[:_SHOWN]]
        raise AssertionError(f"{rule} Keys that differ: {len(differing)}. {'; '.join(first)}")


def _held(table: Mapping[str, str], key: str) -> str:
    return _SHORT.repr(table[key]) if key in table else "absent"


def options_of(backend: Backend) -> dict[str, Any]:
    """The values of all options of `backend` by name, without the old names of renamed ones."""
    return dict(backend.trait_values(config=True, renamed_to=None))


class Kit:
    """The store under test. It makes objects of the driver, and closes them when the test ends."""

    def __init__(
        self, first: Backend, read_raw: Callable[[Any], Awaitable[Mapping[str, str]]], unsupported_characters: str
    ) -> None:
        #: The object from the fixture ``backend``, opened.
        self.backend = first
        self.prefix = first.prefix
        self._read_raw = read_raw
        self._unsupported = frozenset(unsupported_characters)
        self._stack = AsyncExitStack()

    def new(self, prefix: str | None = None, **traits: Any) -> Backend:
        """Another object, not opened, with the same options except `traits`; on `prefix` or else on the same one."""
        backend = type(self.backend)(**options_of(self.backend) | traits, prefix=prefix or self.prefix)
        self._stack.push_async_callback(backend.close)
        return backend

    async def opened(self, prefix: str | None = None) -> Backend:
        """Another object with the same options, opened; on `prefix` or else on the same one."""
        backend = self.new(prefix)
        await backend.open()
        return backend

    async def _close(self) -> None:
        await self._stack.aclose()

    async def fill(self, changes: Mapping[str, str | None], backend: Backend | None = None) -> None:
        """Apply `changes`, in as many batches as the driver's limits require."""
        backend = backend or self.backend
        for part in cut_anywhere(dict(changes), Limits(backend.max_txn_ops, backend.max_txn_bytes)):
            await backend.apply(Batch(part))

    async def raw(self, backend: Backend | None = None) -> dict[str, str]:
        """The table in the store on the prefix of `backend`, read without the driver."""
        return dict(await self._read_raw(backend or self.backend))

    async def holds(self, expected: Mapping[str, str], rule: str = "", backend: Backend | None = None) -> None:
        """Assert that the table is `expected`, read by `backend` and read without the driver.

        If not, the error shows `rule`, the rule of the contract that is broken.
        """
        backend = backend or self.backend
        loaded = (await backend.load()).keys
        assert_same(loaded, expected, rule or "load() must return what was applied, byte for byte, and nothing more.")
        raw = await self.raw(backend)
        assert_same(raw, expected, f"{rule or 'load() must return what is in the store.'} (seen by read_raw)")

    def can_hold(self, text: str) -> bool:
        """Whether `text` has only characters that the store can hold."""
        return self._unsupported.isdisjoint(text)


class Suite:
    """The base of the suites: what a driver's author provides."""

    #: Characters that the store cannot hold. The core writes printable ASCII only.
    unsupported_characters: ClassVar[str] = ""

    @pytest.fixture
    def backend(self) -> Backend:
        """Write this fixture: return an object of the driver, not opened, on a prefix that nobody else uses."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `backend` that returns a Backend.")

    async def read_raw(self, backend: Any) -> Mapping[str, str]:
        """Write this method: return the table on the prefix of `backend`, read without the driver.

        Its keys are relative, as those of :meth:`jhub_kvproxy.Backend.load`, without the lease and without what the
        driver keeps for itself.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a coroutine method `read_raw(self, backend)`.")

    async def forbid(self, backend: Any) -> None:
        """Write this method if the store has permissions: take all those from the user of `backend`, who stays a user.

        The user must be one whom only this test has.
        """
        pytest.skip(f"{type(self).__name__} has no method `forbid(self, backend)`.")

    @pytest_asyncio.fixture(loop_scope="function")
    async def kit(self, backend: Backend) -> AsyncIterator[Kit]:
        """The store, with ``backend`` opened. All objects are closed when the test ends."""
        kit = Kit(backend, self.read_raw, self.unsupported_characters)
        try:
            await in_time(backend.open(), "open() must end within a minute.")
            yield kit
        finally:
            await in_time(kit._close(), "close() must end within a minute.")
            await in_time(backend.close(), "close() must end within a minute.")


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Mark a coroutine function as a test for pytest-asyncio, in any mode, in a loop of its own and with a limit."""

    @wraps(test)
    async def limited(*arguments: Any, **fixtures: Any) -> None:
        try:
            async with asyncio.timeout(TEST_LIMIT) as limit:
                await test(*arguments, **fixtures)
        except TimeoutError as error:
            if not limit.expired():
                raise
            # The cancellation that the limit began with has passed all that waited.
            where = [
                f"{Path(frame.filename).name}:{frame.lineno} ({frame.name})"
                for frame in traceback.extract_tb(error.__cause__.__traceback__ if error.__cause__ else None)
            ]
            raise AssertionError(
                f"{test.__name__} did not end within {TEST_LIMIT:g} s. It waited at {', '.join(where[1:])}."
            ) from error

    return cast(Callable[..., Coroutine[Any, Any, None]], pytest.mark.asyncio(loop_scope="function")(limited))


def batch_of(value: object, *keys: str) -> Batch:
    """A batch that writes `value` to each key."""
    return Batch(dict.fromkeys(keys, str(value)))


async def read_while(
    kit: Kit, batch: Callable[[int], Batch], check: Callable[[dict[str, str]], None], writes: int, reads: int
) -> None:
    """Apply `batch` of 0, 1, ... so many times at least, while another object reads, so many times at least."""
    await kit.backend.apply(batch(0))
    reader = await kit.opened()
    done = 0

    async def write() -> None:
        number = 0
        while number < writes or (done < reads and not reading.done()):
            number += 1
            await kit.backend.apply(batch(number))
            await asyncio.sleep(0)

    async def read() -> None:
        nonlocal done
        while not writing.done():
            check(dict((await reader.load()).keys))
            done += 1
            await asyncio.sleep(0)

    writing, reading = asyncio.create_task(write()), asyncio.create_task(read())
    try:
        await asyncio.gather(writing, reading)
    finally:
        await cancel([writing, reading])
