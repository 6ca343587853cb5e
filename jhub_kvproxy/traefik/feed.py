"""The feed: hands the routing table to each replica, so that it needs not read it from the store."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from ..errors import TraefikError
from .api import TraefikAPI
from .static import REST

_INTERVAL = 0.5
# Of one that did not answer, and may just be starting.
_SHORT_INTERVAL = 0.1
# Until then, Traefik may still be building what it was handed.
_PATIENCE = 5.0
# Seconds to take in a table, which may have megabytes. Traefik keeps one that comes in the moment of its start waiting
# for ever (pkg/provider/rest, whose channel is nil until Provide), so the first limit is short.
_FIRST_LIMIT, _LONGEST_LIMIT = 5.0, 30.0


class Feed:
    """Sees to it that each replica serves the newest revision, from :meth:`watch` to :meth:`close`.

    One that was started again, or handed something else by others, has the table again within a second.
    `newest` tells the newest revision; `make` makes what to hand out, and tells the revision that it is of.
    While another hub may be the one that hands it out, `is_ours` says no, and nothing is.
    """

    def __init__(
        self,
        newest: Callable[[], str],
        make: Callable[[], Awaitable[tuple[str, bytes]]],
        is_ours: Callable[[], bool],
        log: Any,
    ) -> None:
        self._newest = newest
        self._make = make
        self._is_ours = is_ours
        self._log = log
        self._made = ("", b"")
        self._news = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def watch(self, apis: list[TraefikAPI]) -> None:
        """These are the replicas from now on."""
        known, self._tasks = self._tasks, {}
        for api in apis:
            fed = known.pop(api.name) if api.name in known else asyncio.create_task(self._keep_fed(api))
            self._tasks[api.name] = fed
        for task in known.values():
            task.cancel()

    def wake(self) -> None:
        """There is a new revision."""
        self._news.set()
        self._news = asyncio.Event()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self.watch([])
        if tasks:
            await asyncio.wait(tasks)

    async def _keep_fed(self, api: TraefikAPI) -> None:
        handed, until, trouble, limit = None, 0.0, "", _FIRST_LIMIT
        async with aiohttp.ClientSession() as session:
            while True:
                news = self._news
                try:
                    is_new = handed is not None and handed != self._newest()
                    if not is_new and await api.revision(session, REST) == self._newest():
                        handed, until = self._newest(), 0.0
                    elif self._is_ours() and (is_new or time.monotonic() > until):
                        revision, document = await self._document()
                        this_limit, limit = limit, min(limit * 2, _LONGEST_LIMIT)
                        await api.hand(session, document, this_limit)
                        handed, until, limit = revision, time.monotonic() + _PATIENCE, _FIRST_LIMIT
                    trouble = ""
                except TraefikError as error:
                    if str(error) != trouble:
                        trouble = str(error)
                        self._log.warning("The routing table cannot be handed out: %s.", trouble)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SHORT_INTERVAL if trouble else _INTERVAL):
                        await news.wait()

    async def _document(self) -> tuple[str, bytes]:
        if self._made[0] != self._newest():
            self._made = await self._make()
        return self._made
