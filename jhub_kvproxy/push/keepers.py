"""One task for each replica, which keeps it known what that replica serves."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import aiohttp

from ..aio import Tasks, cancel
from ..traefik.api import TraefikAPI
from ..traefik.binary import advice, check_version
from .readiness import Readiness
from .replica import Replica


class Keepers(ABC):
    """Owns the tasks, from :meth:`watch` to :meth:`close`."""

    def __init__(self, readiness: Readiness, log: Any) -> None:
        self._readiness = readiness
        self._log = log
        self._tasks = Tasks(log)
        self._of: dict[Replica, asyncio.Task[Any]] = {}
        self._warned: set[str] = set()

    def watch(self, replicas: Sequence[Replica]) -> None:
        """Keep these, and no others."""
        for replica in self._of.keys() - set(replicas):
            self._tasks.start(cancel([self._of.pop(replica)]), f"leaving {replica.api.name}")
        for replica in replicas:
            if replica not in self._of:
                name = f"looking after {replica.api.name}"
                self._of[replica] = self._tasks.keep(partial(self._run, replica), name)

    async def close(self) -> None:
        self._of.clear()
        await self._tasks.close()

    @abstractmethod
    async def _keep(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        """Tell what `replica` serves, until cancelled. `session` is for it alone."""

    async def _check_version(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        """For a replica that has come, or has come back, as another version perhaps. Raises TraefikError."""
        self._take_version(replica, await cast(TraefikAPI, replica.api).version(session))

    def _take_version(self, replica: Replica, version: str) -> None:
        """The same once `version`, that of its Traefik, is known."""
        check_version(version, f"That at {replica.api.name}")
        if (warning := advice(version)) and warning not in self._warned:
            self._warned.add(warning)
            self._log.warning("%s", warning)

    async def _run(self, replica: Replica) -> None:
        try:
            async with aiohttp.ClientSession() as session:
                await self._keep(replica, session)
        except Exception as error:
            # It is tried again. Until then nobody knows what it serves, and no change may wait for it.
            self._readiness.failed(replica, f"{replica.api.title} cannot be looked after ({error!r})")
            raise
