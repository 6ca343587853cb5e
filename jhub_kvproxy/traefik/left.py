"""The Traefik that a hub has left in a runtime directory, and its end."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import TraefikError
from .instance import Instance
from .life_cycle import draining_seconds
from .runtime import RuntimeDirectory
from .state import State

#: Seconds beyond those that its configuration gives it.
_PATIENCE = 10.0


class Left:
    """The Traefik in `directory`, as it is now. Its methods block; :meth:`leave` must be called at the end.

    A hub that takes it over later has a newer term: then it is that hub's, and is left alone.
    """

    def __init__(self, directory: Path, log: Any, files: Iterable[Path]) -> None:
        self._runtime = RuntimeDirectory(directory)
        state = State.read(self._runtime.state_file)
        self._owner = _Nobody(state.term if state else 0)
        self._instance = Instance(self._runtime, self._owner, log)
        #: 0: none runs.
        self.pid = self._instance.pid if self._instance.find(files) else 0

    def end(self) -> None:
        """End it, and remove what was written for it. Raises :class:`~jhub_kvproxy.errors.TraefikError` if it is not
        nobody's any more."""
        self._instance.stop(self._draining_seconds() + _PATIENCE)
        if self._instance.is_anothers():
            raise TraefikError(f"A hub has just taken over the Traefik in {self._runtime.path}: it is left alone.")

    def leave(self) -> None:
        """Let it run, if it has not ended."""
        self._instance.leave()

    def _draining_seconds(self) -> float:
        try:
            return draining_seconds(tomllib.loads((self._runtime.config_of(self.pid) or b"").decode()))
        except (ValueError, LookupError, TypeError, AttributeError):
            return 0.0


class _Nobody:
    """The owner of what has the term of a hub that has ended."""

    def __init__(self, term: int) -> None:
        self.term = term

    async def outdo(self, served: str) -> None:
        raise TraefikError(f"Nobody outdoes {served}.")
