"""Changes at a steady rate; each starts in time, even if the ones before are not done."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from .errors import BenchmarkError
from .probe import Probe
from .routes import routespec, user, user_route
from .site import Site

# Seconds between checks whether the oldest change is served.
_INTERVAL = 0.01


class Churn:
    """Adds routes, retargets standing ones, and deletes added ones: a third of the changes each."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self._name = name
        self._added: deque[str] = deque()
        self._retargeted: set[str] = set()
        # By number, each change that is not served yet: its path, and who answers it then.
        self._unseen: deque[tuple[int, str, str]] = deque()
        self._seen: dict[int, float] = {}
        #: When the last call was made (monotonic clock).
        self.last_call = 0.0

    async def run(self, rate: float, seconds: float, *, timeout: float) -> list[float]:
        """Make changes for `seconds`; returns for each the seconds from its call until a request was served so.

        Raises BenchmarkError when not all are served `timeout` seconds after the last call.
        """
        started = time.monotonic()
        calls = []
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch(round(rate * seconds), seconds + timeout))
            for number in range(round(rate * seconds)):
                await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
                calls.append(group.create_task(self._call(number, timeout)))
            self.last_call = time.monotonic()
            await watch
        return [self._seen[number] - call.result() for number, call in enumerate(calls)]

    async def undo(self, *, timeout: float) -> None:
        """Restore the table."""
        target = self._site.origin.targets["a"]
        back = [user_route(name, target) for name in self._retargeted]
        await self._site.call("many", timeout=timeout, add=back, delete=[routespec(name) for name in self._added])
        await self._site.settle()

    async def _call(self, number: int, timeout: float) -> float:
        """Make the change `number`; returns when its call began."""
        kind = ("add", "retarget", "delete")[number % 3]
        standing = user(number // 3 % max(1, self._site.count))
        # A route is not changed again before its last change is served: the probe might miss that one.
        if kind == "delete" and self._added and self._is_seen(self._added[0]):
            name, answers = self._added.popleft(), "hub"
        elif kind == "retarget" and self._site.count and self._is_seen(standing):
            name, answers = standing, "a" if standing in self._retargeted else "b"
            self._retargeted ^= {standing}
        else:
            name, answers = f"{self._name}{number}", "a"
            self._added.append(name)
        spec, target, data = user_route(name, self._site.origin.targets[answers])
        self._unseen.append((number, spec, answers))
        if answers == "hub":
            reply = await self._site.call("delete", timeout=timeout, routespec=spec)
        else:
            reply = await self._site.call("add", timeout=timeout, routespec=spec, target=target, data=data)
        return reply.started

    def _is_seen(self, name: str) -> bool:
        return all(path != routespec(name) for _, path, _ in self._unseen)

    async def _watch(self, count: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        async with Probe(self._site.port) as probe:
            while len(self._seen) < count:
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{count - len(self._seen)} of {count} changes were not served in time")
                if self._unseen:
                    number, path, answers = self._unseen[0]
                    if await probe.who([path]) == [answers]:
                        self._seen[number] = time.monotonic()
                        self._unseen.popleft()
                        continue
                await asyncio.sleep(_INTERVAL)
