"""Looks at the site again and again, once for all viewers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from ..aio import in_thread, rest
from ..survey.site import Site
from .history import History
from .targets import Targets
from .view import Row, View, events, rows_of, shown

#: Seconds between two looks while somebody looks on, and while nobody does.
_EVERY, _IDLE = 2.0, 30.0
#: The work of a look makes way for others on the machine: it is at most one part of so many of the time. What a look
#: waits for, such as a replica that lags, is no work.
_SHARE = 5


class Lookout:
    """Has the newest view, and tells viewers of it, from :meth:`run` to its end.

    `see` looks at the site; `hide` takes the secrets out of a JSON value.
    """

    def __init__(
        self,
        see: Callable[[], Awaitable[Site]],
        hide: Callable[[Any], Any],
        log: Any,
        *,
        every: float = _EVERY,
        idle: float = _IDLE,
    ) -> None:
        self._see = see
        self._hide = hide
        self._hide_target: Callable[[str], str] = lru_cache(1 << 14)(hide)
        self._log = log
        self._every, self._idle = every, idle
        self._view: View | None = None
        self._history = History()
        self._since = time.time()
        self._targets = Targets()
        #: Of the routes that were seen last.
        self._found: Mapping[str, str] = {}
        self._news = asyncio.Event()
        self._arrived = asyncio.Event()
        #: How many look on.
        self.viewers = 0
        #: What brings viewers from one view to the newest, by the number of theirs.
        self._told: dict[int | None, bytes] = {}
        self._telling = asyncio.Lock()

    async def run(self) -> None:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_on())
            group.create_task(self._try_targets())

    @contextmanager
    def looked_on(self) -> Iterator[None]:
        """While somebody looks on."""
        self.viewers += 1
        if self.viewers == 1:
            self._arrived.set()
        try:
            yield
        finally:
            self.viewers -= 1

    async def next(self, seen: View | None, patience: float) -> View | None:
        """The newest view, as soon as it is another than `seen`; None: after `patience` seconds it is still that."""
        try:
            async with asyncio.timeout(patience):
                while self._view is None or self._view is seen:
                    await self._news.wait()
        except TimeoutError:
            return None
        return self._view

    async def told(self, sent: View | None, view: View) -> bytes:
        """What brings a viewer from `sent` to `view`; made once for all who have seen the same."""
        key = sent.number if sent else None
        told = self._told if view is self._view else {}
        async with self._telling:
            if key not in told:
                told[key] = await in_thread(events, sent, view)
        return told[key]

    async def _look_on(self) -> None:
        while True:
            began = time.process_time()
            try:
                self._publish(await self._look())
            except Exception:  # this is what people look at when something is wrong: it goes on
                self._log.exception("The page could not look at the site, and tries again.")
            worked = time.process_time() - began
            pause = max(self._every, worked * (_SHARE - 1))
            await rest(pause)
            if not self.viewers:
                self._arrived.clear()
                await rest(max(self._idle - pause, 0), self._arrived)

    def _publish(self, view: View) -> None:
        self._view = view
        self._told = {}
        self._news.set()
        self._news = asyncio.Event()

    async def _look(self) -> View:
        site = await self._see()
        before = self._view
        view = await in_thread(self._view_of, site, before, self._targets.answers())
        self._history = view.history
        if not site.store.error:
            self._found = {name: route.target for name, route in site.store.table.routes.items()}
        return view

    def _view_of(self, site: Site, before: View | None, answers: Mapping[str, str]) -> View:
        at = time.time()
        facts = shown(site, self._hide)
        rows: Mapping[str, Row] | None = None
        if not site.store.error:
            rows = rows_of(site, answers, self._hide_target)
        targets = None if rows is None else {name: row.target for name, row in rows.items()}
        history = self._history.noted(at, targets, facts["problems"])
        if rows is None:
            rows = before.rows if before else {}
        return View(before.number + 1 if before else 1, at, self._since, facts, rows, history)

    async def _try_targets(self) -> None:
        while True:
            if self.viewers:
                try:
                    await self._targets.try_some(self._found.values())
                except Exception:
                    self._log.exception("The page could not try the targets of the routes, and tries again.")
            await asyncio.sleep(self._every)
