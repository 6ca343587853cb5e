"""When targets were used last, as agents (:mod:`jhub_kvproxy.agent`) beside other Traefiks tell it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp

from ..aio import in_thread
from ..errors import TraefikError
from ..traefik.discovery import Discovery
from ..traefik.endpoint import Endpoint
from .clock import NEVER, steady

PATH = "/activity"
_LIMIT = 10.0


class Remote:
    """Asks the agents, from :meth:`start` on, and keeps the latest time that any of them tells.

    `agents` makes what finds them.
    """

    def __init__(self, agents: Callable[[], Discovery[Any]], log: Any) -> None:
        self._make_agents = agents
        self._agents: Discovery[Any] | None = None
        self._log = log
        self._used: dict[str, float] = {}
        self._troubles: dict[str, str] = {}

    def start(self) -> None:
        """Raises what making `agents` does."""
        self._agents = self._make_agents()

    def last(self, target: str) -> float:
        """When (:func:`~jhub_kvproxy.activity.clock.steady`) `target` was used last; NEVER: not known."""
        return self._used.get(target, NEVER)

    async def refresh(self, targets: Iterable[str]) -> None:
        """Ask all agents about `targets`. One that does not answer is named in the log once."""
        agents = await self._agents.find() if self._agents else []
        if not agents:
            return
        body = (await in_thread(json.dumps, sorted(targets))).encode()
        async with aiohttp.ClientSession() as session:
            answers = await asyncio.gather(*(self._ask(session, agent, body) for agent in agents))
        self._used = await in_thread(self._merged, set(targets), answers)

    async def _ask(self, session: aiohttp.ClientSession, agent: Endpoint, body: bytes) -> dict[str, float]:
        """For how many seconds each target has not been used there."""
        try:
            status, text = await agent.exchange(session, "POST", PATH, data=body, timeout=_LIMIT)
            if status != 200:
                raise TraefikError(f"{agent.title} answers {status} for {PATH}; is it an agent?")
            idle = await in_thread(idle_times, text)
        except TraefikError as error:
            self._has_trouble(agent, str(error))
        except ValueError:
            self._has_trouble(agent, f"{agent.title} does not answer as an agent does")
        else:
            self._has_trouble(agent, "")
            return idle
        return {}

    def _merged(self, targets: set[str], answers: Iterable[dict[str, float]]) -> dict[str, float]:
        now = steady()
        used = {target: at for target, at in self._used.items() if target in targets}
        for idle in answers:
            for target, seconds in idle.items():
                used[target] = max(used.get(target, NEVER), now - seconds)
        return used

    def _has_trouble(self, agent: Endpoint, what: str) -> None:
        if what and self._troubles.get(agent.name) != what:
            self._log.warning("The activity of one Traefik is not known. %s", what)
        self._troubles[agent.name] = what


def idle_times(text: bytes) -> dict[str, float]:
    """The seconds that an agent tells for each target. Raises ValueError when the answer is not one of an agent."""
    try:
        answer = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(answer, dict):
        raise ValueError("not a JSON object")
    for seconds in answer.values():
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not math.isfinite(seconds):
            raise ValueError(f"{seconds!r} is no number of seconds")
    # Below 0: the clock of an older agent was set back.
    return {target: max(0.0, float(seconds)) for target, seconds in answer.items()}
