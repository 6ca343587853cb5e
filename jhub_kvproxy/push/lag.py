"""How long a replica has been behind."""

from __future__ import annotations

import time

from ..routing.revision import Revision


class Lag:
    """How long a replica has lacked the oldest revision that it should serve and does not, as far as is known."""

    def __init__(self) -> None:
        self._newest: Revision | None = None
        self._newest_since = 0.0
        self._lacked: Revision | None = None
        self._lacked_since = 0.0

    @property
    def seconds(self) -> float:
        """0: it lacks nothing."""
        return time.monotonic() - self._lacked_since if self._lacked else 0.0

    def due(self, revision: Revision) -> None:
        """`revision` is the newest from now on."""
        self._newest, self._newest_since = revision, time.monotonic()
        if self._lacked is None:
            self._lacked, self._lacked_since = self._newest, self._newest_since

    def seen(self, text: str | None) -> None:
        """The replica serves the revision with this text; None: none."""
        if text is None or self._newest is None or self._lacked is None:
            return
        if self._newest.is_reached_by(text):
            self._lacked = None
        elif self._lacked.is_reached_by(text):
            self._lacked, self._lacked_since = self._newest, self._newest_since
