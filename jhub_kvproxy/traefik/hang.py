"""Finds out whether a Traefik that runs hangs."""

from __future__ import annotations

import errno
import os
import time
from typing import Any

import aiohttp

from ..errors import TraefikError
from ..notice import Notice
from .api import TraefikAPI
from .descriptors import Shortage
from .endpoint import NoAnswer

_INTERVAL = 5.0
# Traefik hangs if it has not answered so many questions in a row, for at least so many seconds.
_LIMIT = 10
_SPAN = 30.0
# A question that took longer than this: the hub was paused, and Traefik may have answered meanwhile.
_SLEPT = 5.0
_REMINDER = 60.0

#: Errors that keep the hub from asking: it lacks descriptors, memory or ports.
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}


class Hang:
    """Asks the Traefik with the process id `pid` now and then, and counts how often it does not answer.

    Silence does not count while the hub has no file descriptor or memory to ask with, nor while Traefik has no
    descriptor left for a connection, but works on. Both are logged.
    """

    def __init__(self, api: TraefikAPI, pid: int, log: Any) -> None:
        self._api = api
        self._pid = pid
        self._silent = 0
        self._since = 0.0
        # The first question comes at once. Its connection is kept, so that later ones need no new descriptor.
        self._next = 0.0
        self._hub_lacks = Notice(log, _REMINDER)
        self._shortage = Shortage(pid, log)

    async def is_over_limit(self, session: aiohttp.ClientSession) -> bool:
        """Whether it has been silent for too long. Call this often, and always with the same `session`."""
        asked = time.monotonic()
        if asked < self._next:
            return False
        try:
            await self._api.version(session)
        except NoAnswer as error:
            if await self._is_excused(error, asked):
                self._silent = 0
            else:
                self._since = self._since if self._silent else asked
                self._silent += 1
        except TraefikError:
            self._answered()  # whatever it says, it lives
        else:
            self._answered()
        if not self._silent:
            self._next = time.monotonic() + _INTERVAL
        return self._silent >= _LIMIT and time.monotonic() - self._since >= _SPAN

    def _answered(self) -> None:
        self._silent = 0
        self._hub_lacks.over("The hub can ask Traefik again")
        self._shortage.over()

    async def _is_excused(self, error: NoAnswer, asked: float) -> bool:
        """Whether the silence that `error` tells of is not Traefik's fault."""
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in _OURS:
            self._hub_lacks.wrong(
                "The hub cannot ask whether Traefik (pid %d) still works, because of an error of its own: %s. "
                "If it is out of file descriptors, start it with a higher limit (LimitNOFILE in its systemd unit, "
                "ulimit -Hn).",
                self._pid,
                os.strerror(cause.errno),
            )
            return True
        if time.monotonic() - asked > _SLEPT:
            return True
        return await self._shortage.explains_silence()

    @property
    def description(self) -> str:
        seconds = time.monotonic() - self._since
        return f"its API has not answered {self._silent} times in a row, for {seconds:.0f} s"
