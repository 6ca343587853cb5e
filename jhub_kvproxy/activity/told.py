"""When each route was used last, as the plugin in each Traefik tells it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from ..errors import TraefikError
from ..push import plugin
from ..push.readiness import Readiness
from ..push.replica import Replica, Standing
from ..push.wire import key_of
from ..routing.routes import Route

# Seconds. Answers younger than this are reused.
_FRESH = 1.0


class ToldActivity:
    """Asks the replicas that `readiness` knows. It has no task: :meth:`start` and :meth:`close` do nothing.

    Plugins tell how long ago a use was, so that the clock of Traefik's machine does not matter. What a Traefik told
    stays known after it has ended.
    """

    def __init__(self, readiness: Readiness, log: Any) -> None:
        self._readiness = readiness
        self._log = log
        #: Times (:func:`time.time`) by the plugin's keys.
        self._used: dict[str, float] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def added(self, route: Route) -> None:
        """`route` is new, or has a new target, which counts as a use."""
        self._used[key_of(route.pattern)] = time.time()

    async def refresh(self, routes: Mapping[str, Route]) -> None:
        """Find out when `routes` were used."""
        async with self._asking:
            if time.monotonic() - self._asked_at > _FRESH:
                await self._ask(routes)
                self._asked_at = time.monotonic()

    def last_use(self, route: Route) -> float | None:
        """When `route` was used last, or added; None: neither is known."""
        return self._used.get(key_of(route.pattern))

    async def _ask(self, routes: Mapping[str, Route]) -> None:
        before = self._used.copy()
        up = [replica for replica in self._readiness.replicas if replica.standing is not Standing.DOWN]
        async with aiohttp.ClientSession() as session:
            answers = await asyncio.gather(*(self._ages(replica, session) for replica in up))
        # In a thread: there may be many thousand.
        found = await asyncio.to_thread(_merged, before, answers, routes)
        # Those that were added meanwhile may not be in `routes` yet.
        found.update((key, at) for key, at in self._used.items() if before.get(key) != at)
        self._used = found

    async def _ages(self, replica: Replica, session: aiohttp.ClientSession) -> dict[str, float]:
        try:
            return await plugin.ages(replica.api, session)
        except TraefikError as error:
            self._log.debug("The times of use are not known from one replica: %s", error)
            return {}


def _merged(
    known: Mapping[str, float], answers: Sequence[Mapping[str, float]], routes: Mapping[str, Route]
) -> dict[str, float]:
    """When each of `routes` was used last, by its key, as far as it was known or is in the `answers`."""
    now = time.time()
    merged = {}
    for key in {key_of(route.pattern) for route in routes.values()}:
        times = [now - max(ages[key], 0.0) for ages in answers if key in ages]
        if key in known:
            times.append(known[key])
        if times:
            merged[key] = max(times)
    return merged
