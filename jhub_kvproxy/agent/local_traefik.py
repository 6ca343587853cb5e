"""The Traefik that an agent starts, and keeps running."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ..aio import in_thread
from ..errors import BackendError
from ..traefik.api import TraefikAPI
from ..traefik.launching import launch_of
from ..traefik.life_cycle import DRAINING
from ..traefik.local import LocalReplicas
from ..traefik.renewal import Renewal
from ..traefik.runtime import RuntimeDirectory
from ..traefik.settings import StoreProvider, TraefikSettings
from ..traefik.state import State


class LocalTraefik:
    """Runs from :meth:`start` to :meth:`stop`. It outlives an agent that is killed, and the next agent finds it."""

    def __init__(self, settings: TraefikSettings, provider: StoreProvider | None, log: Any) -> None:
        self._settings = settings
        self._provider = provider
        self._log = log
        self._directory = Path(settings.runtime_dir).absolute()
        self._replicas: LocalReplicas | None = None
        self._renewal: Renewal | None = None
        self._draining_seconds = 0.0

    async def start(self) -> TraefikAPI:
        """Start Traefik, or find the one that an agent left here; returns its API when that answers.

        Raises :class:`~jhub_kvproxy.errors.TraefikError`. Nothing of it stays behind then.
        """
        launch = await launch_of(self._settings, self._provider, self._log, base_static=DRAINING)
        owner = Latecomer(await in_thread(_newest_term, self._directory))
        replicas = LocalReplicas(self._directory, 1, owner, self._log)
        await replicas.start(launch)
        self._replicas, self._renewal, self._draining_seconds = replicas, launch.renewal, launch.draining_seconds
        if self._renewal:
            self._renewal.start()
        return replicas.apis[0]

    async def stop(self, *, keep_adopted: bool = False) -> None:
        """End Traefik; returns when it has served what was under way. `keep_adopted`: unless it was there before us."""
        replicas, self._replicas = self._replicas, None
        if replicas is None:
            return
        self._log.info(
            "Traefik ends: for up to %g s, it serves the requests that are under way", self._draining_seconds
        )
        try:
            if self._renewal:
                await self._renewal.close()
        finally:
            await replicas.stop(keep_adopted=keep_adopted)


class Latecomer:
    """Owns the Traefik of a directory whose owners before had terms up to `newest`: who starts later has it."""

    def __init__(self, newest: int) -> None:
        self._term = max(int(time.time()), newest + 1)

    @property
    def term(self) -> int:
        return self._term

    async def outdo(self, served: str) -> None:
        raise BackendError("Another agent, which started later, has Traefik.")


def _newest_term(directory: Path) -> int:
    state = State.read(RuntimeDirectory(directory).state_file)
    return state.term if state else 0
