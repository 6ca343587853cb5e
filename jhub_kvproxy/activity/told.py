"""When each route was used last, as the plugin in each Traefik tells it, or the agent beside that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp

from ..aio import in_thread
from ..errors import TraefikError
from ..push.readiness import Readiness
from ..push.replica import Replica, Standing
from ..push.wire import key_of
from ..routing.routes import Route
from ..traefik.endpoint import Endpoint
from .clock import NEVER, TimeOfDay, steady

# Seconds. Answers younger than this are reused.
_FRESH = 1.0

#: Asks a replica how many seconds ago each route was used, by the plugin's keys. Raises TraefikError.
Ask = Callable[[Endpoint, aiohttp.ClientSession], Awaitable[Mapping[str, float]]]


class ToldActivity:
    """Asks the replicas in `readiness`, each by `ask`. It owns no task, so :meth:`start` and :meth:`close` do nothing.

    Plugins tell how long ago a use was, so the clock of Traefik's machine does not matter, and nobody sets the one
    that times are kept by. What a Traefik told is kept after it has ended.
    """

    def __init__(self, readiness: Readiness, ask: Ask, log: Any) -> None:
        self._readiness = readiness
        self._ask_one = ask
        self._log = log
        #: Times (:func:`~jhub_kvproxy.activity.clock.steady`) by the plugin's keys.
        self._used: dict[str, float] = {}
        self._time_of_day = TimeOfDay()
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def added(self, route: Route) -> None:
        """`route` is new, or has a new target, which counts as a use."""
        self._used[key_of(route.pattern)] = steady()

    async def refresh(self, routes: Mapping[str, Route]) -> None:
        """Find out when `routes` were used."""
        async with self._asking:
            if time.monotonic() - self._asked_at > _FRESH:
                await self._ask(routes)
                self._asked_at = time.monotonic()

    def last_use(self, route: Route) -> float | None:
        """When (:func:`time.time`) `route` was used last, or added; None: neither is known."""
        at = self._used.get(key_of(route.pattern))
        return None if at is None else self._time_of_day.at(at)

    async def _ask(self, routes: Mapping[str, Route]) -> None:
        before = self._used.copy()
        up = [replica for replica in self._readiness.replicas if replica.standing is not Standing.DOWN]
        async with aiohttp.ClientSession() as session:
            answers = await asyncio.gather(*(self._ages(replica, session) for replica in up))
        # In a thread: there may be many thousand.
        found = await in_thread(_merged, before, answers, routes)
        # Those that were added meanwhile may not be in `routes` yet.
        found.update((key, at) for key, at in self._used.items() if before.get(key) != at)
        self._used = found

    async def _ages(self, replica: Replica, session: aiohttp.ClientSession) -> Mapping[str, float]:
        try:
            return await self._ask_one(replica.api, session)
        except TraefikError as error:
            self._log.debug("The times of use are not known from one replica: %s", error)
            return {}


def _merged(
    known: Mapping[str, float], answers: Sequence[Mapping[str, float]], routes: Mapping[str, Route]
) -> dict[str, float]:
    """When each of `routes` was used last, by its key, as far as it was known or is in the `answers`."""
    now = steady()
    merged = {}
    for key in {key_of(route.pattern) for route in routes.values()}:
        ages = [max(answer[key], 0.0) for answer in answers if key in answer]
        at = max((now - age for age in ages), default=NEVER)
        at = max(at, known.get(key, NEVER))
        if at != NEVER:
            merged[key] = at
    return merged
