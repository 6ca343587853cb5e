"""Asks replicas that read the store by themselves which revision of the table they serve."""

from __future__ import annotations

from typing import Any, cast

import aiohttp

from ..aio import Backoff, rest
from ..errors import TraefikError
from ..push.keepers import Keepers
from ..push.readiness import Readiness
from ..push.replica import Replica, Standing
from ..traefik.api import TraefikAPI

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
        super().__init__(readiness, log)
        self._provider = provider

    async def _keep(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, factor=_GROWTH)
        while True:
            news = self._readiness.news
            await self._look(replica, session)
            if self._readiness.is_awaited:
                pause = backoff.grow()
            else:
                pause = _UP_INTERVAL if replica.standing is Standing.AWAITED else _OTHER_INTERVAL
            await rest(pause, news)
            if news.is_set():
                backoff.reset()

    async def _look(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        api = cast(TraefikAPI, replica.api)
        replica.asked()
        errors = None
        try:
            if replica.standing is Standing.DOWN or replica.revision is None:
                # It may have come back as another version, with another configuration.
                await self._check_version(replica, session)
            revision = await api.revision(session, self._provider)
            if revision != replica.revision or replica.standing is Standing.DOWN:
                errors = await api.errors(session)
        except TraefikError as error:
            self._readiness.failed(replica, str(error))
        else:
            replica.refusal = _NO_TABLE if revision is None else ""
            self._readiness.answered(replica, revision, errors)
