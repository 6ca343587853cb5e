"""Copies what Traefik writes to its standard output, without the line that it repeats while it is out of descriptors.

Traefik (3.7.15, pkg/server/server_entrypoint_tcp.go, ``Start``) tries at once again when it cannot accept a connection,
and writes a line each time: some 7 MB a second.

It is a program of its own, since Traefik may outlive the hub, and it ends with Traefik. It imports nothing of this
package, so that it starts in 10 ms and takes little memory.
"""

import os
import re
import signal
import time
from collections.abc import Callable

# It must be at the beginning of a line: strangers write parts of others, such as those of the access log.
_REPEATED = re.compile(rb'(?:\S+ ERR |\{"level":"error",).*too many open files')
_HINT = b"too many open files"
#: Seconds between two such lines that are let through.
_INTERVAL = 10.0

_CHUNK, _SMALL_CHUNK = 1 << 16, 1 << 12
_LONGEST_LINE = 1 << 20
# Traefik waits until its line is written before it tries again: slow reading keeps it from burning a core.
_PAUSE = 0.02


class Filter:
    """Lets one of the lines that repeat through every ten seconds, and says how many were left out.

    `now` tells the time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._rest = b""
        self._left_out = 0
        self._let_through: float | None = None
        #: Whether some of what came last was left out.
        self.is_flooded = False

    def feed(self, data: bytes) -> bytes:
        """Take in `data`; return what must be written now."""
        lines, newline, self._rest = (self._rest + data).rpartition(b"\n")
        kept = self._without_repeated(lines + newline)
        if len(self._rest) > _LONGEST_LINE:
            kept, self._rest = kept + self._rest, b""
        return kept

    def end(self) -> bytes:
        """What is still to be written when nothing more comes."""
        return self._note() + self._rest

    def _without_repeated(self, text: bytes) -> bytes:
        self.is_flooded = False
        if _HINT not in text:
            return self._note() + text if self._left_out and self._is_due() else text
        kept = []
        for line in text.split(b"\n")[:-1]:
            if not _REPEATED.match(line):
                kept.append(line + b"\n")
            elif self._is_due():
                kept += [self._note(), line, b"\n"]
                self._let_through = self._now()
            else:
                self._left_out += 1
                self.is_flooded = True
        return b"".join(kept)

    def _is_due(self) -> bool:
        return self._let_through is None or self._now() - self._let_through >= _INTERVAL

    def _note(self) -> bytes:
        count, self._left_out = self._left_out, 0
        return b"(%d lines of Traefik about too many open files are left out)\n" % count if count else b""


def copy(source: int, target: int) -> None:
    """Copy from the file descriptor `source` to `target` until `source` ends."""
    kept, size = Filter(), _CHUNK
    while data := os.read(source, size):
        _write(target, kept.feed(data))
        if kept.is_flooded:
            time.sleep(_PAUSE)
        size = _SMALL_CHUNK if kept.is_flooded else _CHUNK
    _write(target, kept.end())


def _write(target: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(target, data) :]
        except BlockingIOError:
            time.sleep(_PAUSE)
        except OSError:
            return  # Nobody reads it any more. Traefik must not end for that.


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # we end with Traefik, after its last line
    copy(0, 1)
