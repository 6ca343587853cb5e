"""Threads that are waited for, tasks that have an owner, and pauses that grow."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# A task is cancelled again after so many seconds: in Python 3.11, asyncio.wait_for may swallow a cancellation
# (https://github.com/python/cpython/issues/86296).
_CANCEL_INTERVAL = 0.1


async def in_thread(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Call `work` in a thread; returns what it returns.

    Unlike :func:`asyncio.to_thread`, it ends no earlier than the thread does, also if the caller is cancelled: then it
    raises :class:`asyncio.CancelledError` once `work` has returned. So a lock that the caller holds protects what the
    thread changes, and what the caller cleans up stays clean.
    """
    call = functools.partial(contextvars.copy_context().run, work, *arguments, **options)
    # A future, not a task: who cancels all tasks of a loop does not cancel this.
    return await to_the_end(asyncio.get_running_loop().run_in_executor(None, call))


async def to_the_end(future: asyncio.Future[T]) -> T:
    """What `future` comes to. If the caller is cancelled, it raises that no earlier than `future` has ended."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await _ended(future)
        raise


async def _ended(future: asyncio.Future[Any]) -> None:
    while not future.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()  # nobody is left to hear of it


async def cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks`, and wait until all have ended. What they raise is theirs to log."""
    left = {task for task in tasks if task is not asyncio.current_task()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_CANCEL_INTERVAL)


class Backoff:
    """Pauses between tries: `first` seconds, then each `factor` times as long as the one before, up to `longest`.

    With a `spread` of 0.5, each is between half and all of that, at random, so that many who failed together do not
    try together again.
    """

    def __init__(self, first: float, longest: float, *, factor: float = 2.0, spread: float = 0.0) -> None:
        self._first = first
        self._longest = longest
        self._factor = factor
        self._spread = spread
        self._next = first

    @property
    def next(self) -> float:
        """Seconds that the next pause takes, without its spread."""
        return self._next

    def reset(self) -> None:
        """A try has succeeded: the next pause is the first one again."""
        self._next = self._first

    def grow(self) -> float:
        """Seconds to pause now; the pause after that is longer."""
        pause, self._next = self._next, min(self._next * self._factor, self._longest)
        return pause * (1 - self._spread * random.random())

    async def rest(self, news: asyncio.Event | None = None) -> None:
        """Pause; with `news`, no longer than until that is set."""
        await rest(self.grow(), news)


async def rest(seconds: float, news: asyncio.Event | None = None) -> None:
    """Sleep; with `news`, no longer than until that is set."""
    if news is None:
        await asyncio.sleep(seconds)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()


class Tasks:
    """Owns tasks that go on by themselves, until :meth:`close`.

    A task that ends with an exception is logged with `log` at once.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closing = False

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work`, which `name` tells of in the log, as in "looking after the lease"."""
        self._is_closing = False
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def keep(self, work: Callable[[], Awaitable[Any]], name: str) -> asyncio.Task[Any]:
        """Run `work`, which is meant to go on for ever, and run it again whenever it ends.

        When it ends by an exception, that is logged. Before each new run there is a pause, from 1 to 30 s.
        """
        return self.start(self._keep(work, name), name)

    async def close(self) -> None:
        """Cancel all, and wait until they have ended."""
        self._is_closing = True
        await cancel(self._tasks.copy())

    async def _keep(self, work: Callable[[], Awaitable[Any]], name: str) -> None:
        backoff = Backoff(1.0, 30.0)
        loop = asyncio.get_running_loop()
        # What has run into a swallowed cancellation must not begin anew.
        while not self._is_closing:
            began = loop.time()
            try:
                await work()
            except Exception:
                self._log.exception("%s failed, and is tried again in %g s", name.capitalize(), backoff.next)
            if loop.time() - began > 60:
                backoff.reset()
            await backoff.rest()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log.error("%s failed", task.get_name().capitalize(), exc_info=error)
