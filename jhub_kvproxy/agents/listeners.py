"""Listens to the agents: each tells which revision of the table its Traefik serves as soon as that changes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from ..aio import Backoff, cancel, rest
from ..errors import TraefikError
from ..push.keepers import Keepers
from ..push.readiness import Readiness
from ..push.replica import Replica
from ..traefik.endpoint import NoAnswer
from . import client
from .protocol import LONGEST_WAIT, State

# Seconds that an agent has for an answer that it gives at once, and for one that waits for news.
_LIMIT = 3.0
_NEWS_LIMIT = LONGEST_WAIT + _LIMIT
# Seconds after which an agent that somebody waits for, and that tells nothing, is asked whether it is there.
_PATIENCE = 0.3
# Seconds for which route changes wait for an agent that has just died: its Traefik serves on, without what is new,
# until the load balancer has noticed. An agent that is started again is back by then.
_GRACE = 3.0
# Seconds between tries to reach one that does not answer, and before the next question to one that had no news.
_FIRST_PAUSE, _LONGEST_PAUSE, _NO_NEWS_PAUSE = 0.05, 1.0, 0.2


class Listeners(Keepers):
    """Tells the `readiness` what each agent says about the table of `hub`, a prefix.

    An agent's table counts if it has `form` (:func:`~jhub_kvproxy.push.wire.form_of`): another was made by options that
    the hub has no longer.
    """

    def __init__(self, readiness: Readiness, hub: str, form: str, log: Any) -> None:
        super().__init__(readiness, log)
        self._hub = hub
        self._form = form
        #: What each agent said last. One that does not answer has said nothing.
        self.states: dict[Replica, State] = {}

    async def _keep(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, spread=0.5)
        # When it was there last (time.monotonic).
        answered = float("-inf")
        try:
            while True:
                known = self.states.get(replica)
                try:
                    state = await self._next(replica, session, known.tag if known else "")
                except TraefikError as error:
                    self.states.pop(replica, None)
                    if known:
                        answered = time.monotonic()
                    if not isinstance(error, NoAnswer) or time.monotonic() - answered >= _GRACE:
                        self._readiness.failed(replica, str(error))
                    await backoff.rest()
                    continue
                backoff.reset()
                self._took(replica, state)
                if known and known.tag == state.tag:
                    await rest(_NO_NEWS_PAUSE, self._readiness.news)
        finally:
            self.states.pop(replica, None)

    def _took(self, replica: Replica, state: State) -> None:
        self.states[replica] = state
        try:
            if state.traefik:
                self._take_version(replica, state.traefik)
            if state.trouble:
                raise TraefikError(f"{replica.api.title} says: {state.trouble}")
        except TraefikError as error:
            self._readiness.failed(replica, str(error))
        else:
            serves = state.revision if state.form == self._form else ""
            self._readiness.answered(replica, serves or None)

    async def _next(self, replica: Replica, session: aiohttp.ClientSession, seen: str) -> State:
        """What the agent says now; if `seen` is the tag of what it said last, as soon as it says something else."""
        if not seen:
            return await self._now(replica, session)
        news = asyncio.create_task(client.state(replica.api, session, self._hub, seen, _NEWS_LIMIT))
        try:
            while not news.done():
                next_one = self._readiness.news
                if self._readiness.is_awaited:
                    await asyncio.wait([news], timeout=_PATIENCE)
                    if news.done():
                        break
                    # It has nothing to tell, or is not there any more and says nothing either.
                    state = await self._now(replica, session)
                    if state.tag != seen:
                        return state
                await _either(news, next_one)
            # What is in between may have closed a connection on which nothing goes.
            is_cut = isinstance(news.exception(), TraefikError)
            return await self._now(replica, session) if is_cut else news.result()
        finally:
            await cancel([news])
            if not news.cancelled():
                news.exception()  # nobody may have asked for it

    async def _now(self, replica: Replica, session: aiohttp.ClientSession) -> State:
        return await client.state(replica.api, session, self._hub, "", _LIMIT)


async def _either(task: asyncio.Task[Any], event: asyncio.Event) -> None:
    """Wait until `task` is done or `event` is set."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel([waiting])
