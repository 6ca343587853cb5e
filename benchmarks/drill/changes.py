"""Route changes, some a second: servers that start, move and stop."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

from servers.calls import Gone
from servers.errors import Unavailable

from .book import Book, path
from .client import Broken, get
from .events import HUB, Change, Event, judged
from .hubs import HubProcess

_INTERVAL = 0.2
_MOST_USERS, _MOST_AT_ONCE = 30, 60
_CALL_TIMEOUT, _LIVE_TIMEOUT, _ASK_TIMEOUT = 90.0, 10.0, 5.0


class Changes:
    """Asks `hub()` for changes, which `port` must then serve; from :meth:`start` to :meth:`stop`.

    The new servers are those at `targets`. What was seen is in :attr:`done`, and of the requests that prove each
    change, in :attr:`events`.
    """

    def __init__(self, hub: Callable[[], HubProcess], book: Book, targets: Sequence[str], port: int) -> None:
        self.done: list[Change] = []
        self.events: list[Event] = []
        self._hub = hub
        self._book = book
        self._port = port
        self._targets = itertools.cycle(targets)
        self._numbers = itertools.count(1)
        self._kinds = itertools.cycle(("add", "retarget", "add", "delete"))
        #: Users with a server that is not about to change, the longest unchanged first.
        self._idle: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._flow = asyncio.Event()
        self._flow.set()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        tasks = [*self._tasks, *([self._running] if self._running else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def pause(self) -> None:
        """Ask for nothing new; returns when everything that was asked for has come to an end, or was given up."""
        self._flow.clear()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def resume(self) -> None:
        self._flow.set()

    def burst(self, count: int) -> None:
        """Ask for many new servers at once."""
        for _ in range(count):
            self._begin("add")

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            await self._flow.wait()
            due = max(due + _INTERVAL, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            if self._flow.is_set() and not self._hub().is_gone and len(self._tasks) < _MOST_AT_ONCE:
                self._begin(next(self._kinds))

    def _begin(self, kind: str) -> None:
        if kind == "add" and len(self._idle) >= _MOST_USERS:
            kind = "delete"
        if kind != "add" and not self._idle:
            kind = "add"
        name = f"drill{next(self._numbers)}" if kind == "add" else self._idle.pop(0)
        change = Change(kind, time.monotonic())
        self.done.append(change)
        task = asyncio.create_task(self._change(change, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _change(self, change: Change, name: str) -> None:
        before = self._book.users.get(name)
        try:
            if change.kind == "delete":
                expected = HUB
                await self._hub().call("delete", timeout=_CALL_TIMEOUT, name=name)
                self._book.drop(name)
            else:
                expected = next(self._targets)
                self._book.put(name, expected)
                await self._hub().call("add", timeout=_CALL_TIMEOUT, name=name, port=expected)
            change.returned = time.monotonic()
        except Gone:
            # The database has the server, and the next hub looks there.
            change.error = "the hub is gone"
        except Unavailable as error:
            change.error, change.returned = str(error), time.monotonic()
            if change.kind == "add":
                self._book.drop(name)
            elif before:
                self._book.put(name, before)
        else:
            change.live = await self._proven(name, expected)
        if name in self._book.users:
            self._idle.append(name)

    async def _proven(self, name: str, expected: str) -> float | None:
        """When it was seen to be served; the first request, which follows the hub's answer, counts as a visitor's."""
        deadline = time.monotonic() + _LIVE_TIMEOUT
        is_first = True
        while time.monotonic() < deadline:
            started = time.monotonic()
            outcome, detail = await self._ask(name, expected)
            if is_first and not (expected == HUB and outcome == "failed"):  # there is no hub to answer
                self.events.append(Event("request", started, time.monotonic(), outcome, 0, f"new route: {detail}"))
            is_first = False
            if outcome == "ok":
                return time.monotonic()
            await asyncio.sleep(0.02)
        return None

    async def _ask(self, name: str, expected: str) -> tuple[str, str]:
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                answer = await get(self._port, path(name))
        except (Broken, OSError, TimeoutError) as error:
            return "failed", f"{type(error).__name__} {error}"
        return judged(expected, answer.status, answer.body)
