"""Whether a Traefik that runs still does anything."""

from __future__ import annotations

import errno
import os
import time
from typing import Any

import aiohttp

from ..errors import TraefikError
from ..notice import Notice
from .api import NoAnswer, TraefikAPI
from .descriptors import Shortage

_INTERVAL = 5.0
# What a Traefik must at least have been silent for, in questions and in seconds.
_LIMIT = 10
_SPAN = 30.0
# An answer that we did not get within the API's time limit, and noticed only so much later, we may have slept through.
_SLEPT = 5.0
_SAY_AGAIN = 60.0

#: What the hub lacks when it cannot even ask.
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}


class Hang:
    """Asks the Traefik with the process id `pid` now and then, and knows for how long it has not answered.

    Silence counts only if Traefik could have answered: not while the hub has no file descriptor or memory to ask it
    with, and not while Traefik itself has no descriptor left for a connection, but works on. Both are said in `log`.
    """

    def __init__(self, api: TraefikAPI, pid: int, log: Any) -> None:
        self._api = api
        self._pid = pid
        self._silent = 0
        self._since = 0.0
        # At once: the connection is kept, and to ask again on it needs no descriptor on either side.
        self._next = 0.0
        self._hub_lacks = Notice(log, _SAY_AGAIN)
        self._shortage = Shortage(pid, log)

    async def is_over_limit(self, session: aiohttp.ClientSession) -> bool:
        """Whether it has been silent for too long; call it often, and always with the same `session`."""
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
                "ulimit -n).",
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
