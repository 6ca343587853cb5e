"""Says what is wrong for as long as it lasts, and no more often than people can read."""

from __future__ import annotations

import time
from typing import Any


class Notice:
    """Logs what is wrong at once, then every `interval` seconds while it lasts, and once when it is over."""

    def __init__(self, log: Any, interval: float) -> None:
        self._log = log
        self._interval = interval
        self._said = 0.0
        self._is_wrong = False

    def wrong(self, text: str, *words: object) -> None:
        """`text` with `words` in it, as logging has them, is wrong now."""
        now = time.monotonic()
        if not self._is_wrong or now - self._said >= self._interval:
            self._log.warning(text, *words)
            self._said = now
        self._is_wrong = True

    def over(self, text: str) -> None:
        """Nothing is wrong any more."""
        if self._is_wrong:
            self._log.warning(text)
        self._is_wrong = False
