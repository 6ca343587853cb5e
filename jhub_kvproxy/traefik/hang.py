"""Whether a Traefik that runs still does anything."""

from __future__ import annotations

import time

import aiohttp

from ..errors import TraefikError
from .api import NoAnswer, TraefikAPI

_INTERVAL = 5.0
# Each takes the API's time limit, so half a minute; a machine that was suspended loses a look or two.
_LIMIT = 10


class Hang:
    """Asks a Traefik now and then, and counts how often in a row it did not answer."""

    def __init__(self, api: TraefikAPI) -> None:
        self._api = api
        self._silent = 0
        self._next = time.monotonic() + _INTERVAL

    async def is_over_limit(self, session: aiohttp.ClientSession) -> bool:
        """Whether it has been silent for too long; call it often."""
        if time.monotonic() < self._next:
            return False
        try:
            await self._api.version(session)
            self._silent = 0
        except NoAnswer:
            self._silent += 1
        except (TraefikError, LookupError, TypeError):
            self._silent = 0  # whatever it says, it lives
        if not self._silent:
            self._next = time.monotonic() + _INTERVAL
        return self._silent >= _LIMIT

    @property
    def description(self) -> str:
        return f"its API has not answered {self._silent} times in a row"
