"""Asks replicas that read the store by themselves which revision of the table they serve."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiohttp

from ..errors import TraefikError
from ..push.keepers import Keepers
from ..push.readiness import Readiness
from ..push.replica import Replica, Standing

# The first look comes at once, for the small tables; a large one takes Traefik seconds, and asking costs it too.
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.004, 0.25, 1.1
# Seconds between looks while nobody waits, at a replica that changes wait for, and at one that they do not.
_UP_INTERVAL, _OTHER_INTERVAL = 5.0, 1.0
_NO_TABLE = "so it may not read our prefix"


class Poller(Keepers):
    """Asks each replica often while somebody waits, and now and then otherwise.

    Traefik switches its API and its routers together (``cmd/traefik/traefik.go``, switchRouter), so the revision that
    its API tells is the one that it serves. `provider` is Traefik's name for the store.
    """

    def __init__(self, readiness: Readiness, provider: str, log: Any) -> None:
        super().__init__(log)
        self._readiness = readiness
        self._provider = provider

    async def _keep(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        pause = _FIRST_PAUSE
        while True:
            news = self._readiness.news
            await self._look(replica, session)
            if self._readiness.is_awaited:
                rest, pause = pause, min(pause * _GROWTH, _LONGEST_PAUSE)
            else:
                rest = _UP_INTERVAL if replica.standing is Standing.AWAITED else _OTHER_INTERVAL
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await news.wait()
                    pause = _FIRST_PAUSE

    async def _look(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        replica.asked()
        errors = None
        try:
            if replica.standing is Standing.DOWN or replica.revision is None:
                # It may have come back as another version, with another configuration.
                await self._check_version(replica, session)
            revision = await replica.api.revision(session, self._provider)
            if revision != replica.revision or replica.standing is Standing.DOWN:
                errors = await replica.api.errors(session)
        except TraefikError as error:
            self._readiness.failed(replica, str(error))
        except (LookupError, TypeError) as error:
            self._readiness.failed(replica, f"{replica.api.name} does not answer as Traefik does ({error!r})")
        else:
            replica.refusal = _NO_TABLE if revision is None else ""
            self._readiness.answered(replica, revision, errors)
