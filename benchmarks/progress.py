"""Shows the progress: in one changing line on a terminal, in plain lines otherwise."""

from __future__ import annotations

import shutil
import sys
import time


class Progress:
    """Counts the steps of `total`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._changes = sys.stderr.isatty()

    def step(self, text: str) -> None:
        """The next step begins."""
        self._done += 1
        self.note(text)

    def skip(self, steps: int) -> None:
        """Leave out so many steps."""
        self._total -= steps

    def note(self, text: str) -> None:
        """Show what happens now; the next note replaces it on a terminal."""
        minutes, seconds = divmod(round(time.monotonic() - self._started), 60)
        self._show(f"{minutes:2}:{seconds:02}  {self._done}/{self._total}  {text}")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._changes:
            sys.stderr.write("\r\x1b[K")
        print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._changes:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _show(self, line: str) -> None:
        if self._changes:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{line[:width]}")
            sys.stderr.flush()
        else:
            print(line, file=sys.stderr, flush=True)
