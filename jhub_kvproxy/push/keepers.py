"""One task for each replica of Traefik, which keeps it known what that replica serves."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import aiohttp

from ..traefik.binary import advice, check_version
from .replica import Replica

_PAUSE_AFTER_BUG = 1.0


class Keepers(ABC):
    """Owns the tasks, from :meth:`watch` to :meth:`close`."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._tasks: dict[Replica, asyncio.Task[None]] = {}
        #: Those that were cancelled.
        self._ending: set[asyncio.Task[None]] = set()
        self._warned: set[str] = set()

    def watch(self, replicas: Sequence[Replica]) -> None:
        """Keep these, and no others."""
        self._ending = {task for task in self._ending if not task.done()}
        for replica in self._tasks.keys() - set(replicas):
            self._tasks[replica].cancel()
            self._ending.add(self._tasks.pop(replica))
        for replica in replicas:
            if replica not in self._tasks:
                self._tasks[replica] = asyncio.create_task(self._run(replica))

    async def close(self) -> None:
        self.watch([])
        while self._ending:
            await asyncio.wait(self._ending)
            self._ending = {task for task in self._ending if not task.done()}

    @abstractmethod
    async def _keep(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        """Tell what `replica` serves, until cancelled. `session` is for it alone."""

    async def _check_version(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        """For a replica that has come, or has come back, as another version perhaps. Raises TraefikError."""
        version = await replica.api.version(session)
        check_version(version, f"That at {replica.api.name}")
        if (warning := advice(version)) and warning not in self._warned:
            self._warned.add(warning)
            self._log.warning("%s", warning)

    async def _run(self, replica: Replica) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    await self._keep(replica, session)
                except Exception:
                    self._log.exception("Looking after Traefik at %s failed; trying again", replica.api.name)
                await asyncio.sleep(_PAUSE_AFTER_BUG)
