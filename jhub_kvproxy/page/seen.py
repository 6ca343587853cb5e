"""What the page sees of a site: all of it, with the last use of each route."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..aio import in_thread
from ..errors import KVProxyError
from ..options.settings import Settings
from ..store.contract import Backend
from ..survey.replicas import find_replicas
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
        self._log = log
        self._used: Mapping[str, float] = {}
        self._asked = float("-inf")

    async def now(self) -> Site:
        site = await look(self._settings, self._make_backend, self._log)
        if not self._settings.activity:
            return site
        if time.monotonic() - self._asked > _FRESH:
            self._used = await self._last_used()
            self._asked = time.monotonic()
        table = site.store.table
        routes = await in_thread(with_last_used, table, self._used)
        return replace(site, store=replace(site.store, table=replace(table, routes=routes)))

    async def _last_used(self) -> Mapping[str, float]:
        try:
            return await last_used(await find_replicas(self._settings, self._log), self._prefix)
        except KVProxyError:
            return self._used  # the site tells why
