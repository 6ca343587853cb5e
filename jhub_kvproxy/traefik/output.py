"""Brings what Traefik writes to its standard output to the hub's own, through :mod:`.log_filter`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import TraefikError
from . import log_filter

_PATIENCE = 1.0


class Output:
    """The filter beside one Traefik, which ends when that Traefik has ended."""

    def __init__(self) -> None:
        self._filter: subprocess.Popen[bytes] | None = None

    @contextmanager
    def begin(self) -> Iterator[int]:
        """A file descriptor for the standard output of a Traefik that is started within the context.

        Raises :class:`~jhub_kvproxy.errors.TraefikError` when the filter cannot be started.
        """
        if self._filter:
            self._filter.poll()  # or it would stay a zombie
        # Isolated and without site-packages: nothing in the environment changes it, and it takes a few MB only.
        command = [sys.executable, "-I", "-S", log_filter.__file__]
        # Like Traefik, it must not hear Ctrl-C.
        try:
            self._filter = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        except OSError as error:
            raise TraefikError(f"The filter for Traefik's output cannot be started: {error}.") from error
        assert self._filter.stdin
        with self._filter.stdin as pipe:
            yield pipe.fileno()

    def wait(self) -> None:
        """Wait until all is written that a Traefik which has ended wrote, for a second at most. Blocks."""
        if self._filter:
            with suppress(subprocess.TimeoutExpired):
                self._filter.wait(_PATIENCE)
