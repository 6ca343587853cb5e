"""What the page sees of a site: all of it, with the last use of each route."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..aio import in_thread
from ..options.settings import Settings
from ..store.contract import Backend
from ..survey.replicas import Asked, Replicas
from ..survey.served import last_used, with_last_used
from ..survey.site import Site, look

#: Seconds for which it is not asked again when the routes were used: the answers are long.
_FRESH = 10.0


class Seen:
    """Looks at the site of `settings`. `make_backend` makes an object that only reads."""

    def __init__(self, settings: Settings, prefix: str, make_backend: Callable[[], Backend], log: Any) -> None:
        self._settings = settings
        self._prefix = prefix
        self._make_backend = make_backend
        self._replicas = Replicas(settings, log)
        #: Those that were found last.
        self._found: list[Asked] = []
        self._used: Mapping[str, float] = {}
        self._asked = float("-inf")

    async def now(self) -> Site:
        site = await look(self._settings, self._make_backend, self._find)
        if not self._settings.activity:
            return site
        # If the replicas are not known, the site tells why.
        if not site.error and time.monotonic() - self._asked > _FRESH:
            self._used = await last_used(self._found, self._prefix)
            self._asked = time.monotonic()
        table = site.store.table
        routes = await in_thread(with_last_used, table, self._used)
        return replace(site, store=replace(site.store, table=replace(table, routes=routes)))

    async def _find(self) -> list[Asked]:
        self._found = await self._replicas.find()
        return self._found
