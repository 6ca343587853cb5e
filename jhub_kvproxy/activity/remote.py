"""When targets were used last, as agents (:mod:`jhub_kvproxy.activity.agent`) beside other Traefiks tell it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ..aio import in_thread
from ..resolver import lookup
from .clock import NEVER, steady

PATH = "/activity"
_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Remote:
    """Asks the agents at `urls`, and keeps the latest time that any of them tells.

    A host name with several addresses stands for an agent at each of them.
    """

    def __init__(self, urls: Sequence[str], token: str, log: Any) -> None:
        self._urls = urls
        self._headers = {"Authorization": f"token {token}"}
        self._log = log
        self._used: dict[str, float] = {}
        self._troubles: dict[str, str] = {}

    def last(self, target: str) -> float:
        """When (:func:`~jhub_kvproxy.activity.clock.steady`) `target` was used last; NEVER: not known."""
        return self._used.get(target, NEVER)

    async def refresh(self, targets: Iterable[str]) -> None:
        """Ask all agents about `targets`. One that does not answer is named in the log once."""
        if not self._urls:
            return
        body = await in_thread(json.dumps, sorted(targets))
        places = [place for found in await asyncio.gather(*map(self._places, self._urls)) for place in found]
        async with aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT) as session:
            answers = await asyncio.gather(*(self._ask(session, place, body.encode()) for place in places))
        self._used = await in_thread(self._merged, set(targets), answers)

    async def _places(self, url: str) -> list[str]:
        parts = urlsplit(url)
        port = parts.port or 80
        try:
            hosts = sorted(await lookup(parts.hostname or ""))
        except OSError as error:
            self._has_trouble(url, f"its name is not known ({error})")
            return []
        return [f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}" for host in hosts]

    async def _ask(self, session: aiohttp.ClientSession, place: str, body: bytes) -> dict[str, float]:
        """For how many seconds each target has not been used there."""
        try:
            async with session.post(place + PATH, data=body) as answer:
                if answer.status != 200:
                    self._has_trouble(place, f"it answers {answer.status}")
                    return {}
                text = await answer.text()
            idle = await in_thread(idle_times, text)
        except (aiohttp.ClientError, TimeoutError) as error:
            self._has_trouble(place, str(error) or type(error).__name__)
        except ValueError:
            self._has_trouble(place, "it does not answer as an agent does")
        else:
            self._has_trouble(place, "")
            return idle
        return {}

    def _merged(self, targets: set[str], answers: Iterable[dict[str, float]]) -> dict[str, float]:
        now = steady()
        used = {target: at for target, at in self._used.items() if target in targets}
        for idle in answers:
            for target, seconds in idle.items():
                used[target] = max(used.get(target, NEVER), now - seconds)
        return used

    def _has_trouble(self, place: str, what: str) -> None:
        if what and self._troubles.get(place) != what:
            self._log.warning("The activity of the Traefik at %s is not known: %s", place, what)
        self._troubles[place] = what


def idle_times(text: str) -> dict[str, float]:
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
