"""Follows the table of one hub in its store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from ..aio import Backoff, Tasks, in_thread
from ..errors import BackendError
from ..notice import Notice
from ..routing.revision import Revision
from ..routing.routes import Route
from ..store.contract import Backend, SupportsWatch, Told
from .hub_table import HubTable, NoTable, changed_routes, read_table

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
#: Seconds between two looks at a store that tells nothing.
_LOOK_INTERVAL = 1.0
_REMINDER = 300.0
#: Seconds after which nobody waits for a table that was never known: its hub may not have made it yet.
_PATIENCE = 10.0

#: Called when the table has changed, with the routes that have, and whether the hub's options have.
Changed = Callable[["Follower", dict[str, Route | None], bool], None]


class Follower:
    """Knows the last good table of the hub `prefix`, from :meth:`start` to :meth:`close`.

    A table that is empty or cannot be read never takes the place of a good one. Nor does an older one, as of a backup,
    until its writer commits again: then a hub lives that works on it.
    """

    def __init__(self, prefix: str, backend: Backend, log: Any, changed: Changed) -> None:
        self.prefix = prefix
        self.table = HubTable()
        #: Since when (:func:`time.time`) the store does not give us a table, and why, as a sentence; None: it does.
        self.trouble: tuple[float, str] | None = None
        #: Whether the store's answer is known; until then, Traefik may serve something newer than what we know.
        self.has_asked = False
        self._backend = backend
        self._log = log
        self._changed = changed
        self._notice = Notice(log, _REMINDER)
        self._began = time.monotonic()
        self._old: Revision | None = None
        #: Whether our table is what was read last, or told since: only then do told changes make the next one of it.
        self._is_in_step = False
        self._damaged: set[str] = set()
        self._tasks = Tasks(log)

    @property
    def is_overdue(self) -> bool:
        """Whether no table is known, and other hubs' need not wait for it."""
        return not self.table.revision and time.monotonic() - self._began > _PATIENCE

    def start(self, cached: HubTable | None) -> None:
        """Begin with the table `cached`, if there is one."""
        if cached:
            self._become(cached)
        self._tasks.keep(self._follow, f"following the table of {self.prefix!r}")

    async def close(self) -> None:
        await self._tasks.close()
        try:
            await self._backend.close()
        except BackendError as error:
            self._log.debug("The store was not closed in order. %s", error)

    async def _follow(self) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, spread=0.5)
        while True:
            try:
                await self._backend.open()
                async with aclosing(self._news()) as news:
                    async for told in news:
                        if told is None or not self._take(told):
                            await self._load()
                        backoff.reset()
            except BackendError as error:
                self._is_away(str(error))
            await backoff.rest()

    async def _news(self) -> AsyncGenerator[Told | None]:
        if isinstance(self._backend, SupportsWatch):
            async with aclosing(self._backend.watch()) as watch:
                async for told in watch:
                    yield told
        while True:
            yield None
            await asyncio.sleep(_LOOK_INTERVAL)

    def _take(self, told: Told) -> bool:
        changed = self.table.take(told) if self._is_in_step else None
        if changed is None:
            return False
        self._is_there()
        self._changed(self, changed, False)
        return True

    async def _load(self) -> None:
        self._is_in_step = False
        await self._judge((await self._backend.load()).keys)
        self.has_asked = True

    async def _judge(self, keys: Mapping[str, str]) -> None:
        """Take the table in `keys` if it is a good one."""
        try:
            found = await in_thread(read_table, keys, self.table)
        except NoTable as why:
            self._is_away(f"The store has no table of {self.prefix!r} that can be served: {why}.")
            return
        if self.table.routes and not found.routes and not self.table.is_before(found.revision):
            self._is_away(f"The store has a new table of {self.prefix!r}, without a single route.")
            return
        if self.table.is_newer_than(found.revision) and not self._is_written(found):
            self._is_away(
                f"The store has an older table of {self.prefix!r} (revision {found.revision}) than the one that is "
                f"served ({self.table.revision}), as after a restored backup. It counts once a hub writes to it."
            )
            return
        self._old = None
        self._is_there()
        for key, damage in found.damaged.items():
            if key not in self._damaged:
                self._log.error("The entry %s/%s of the table is damaged: %s", self.prefix, key, damage)
        self._damaged = set(found.damaged)
        self._become(found)
        self._is_in_step = True

    def _become(self, table: HubTable) -> None:
        changed = changed_routes(self.table, table)
        is_same = table.revision == self.table.revision and not changed
        has_new_options = table.options != self.table.options
        self.table = table
        if not is_same or has_new_options:
            self._changed(self, changed, has_new_options)

    def _is_written(self, found: HubTable) -> bool:
        """Whether the writer of an older table has committed since we saw it first."""
        now, before = Revision.read(found.revision), self._old
        self._old = now
        return before is not None and before.writer == now.writer and before.number < now.number

    def _is_away(self, why: str) -> None:
        since = self.trouble[0] if self.trouble else time.time()
        self.trouble = since, why
        kept = f" Traefik keeps revision {self.table.revision}." if self.table.revision else ""
        self._notice.wrong("The table of %r is not known to be up to date. %s%s", self.prefix, why, kept)

    def _is_there(self) -> None:
        self.trouble = None
        self._notice.over(f"The store gives us the table of {self.prefix!r} again")
