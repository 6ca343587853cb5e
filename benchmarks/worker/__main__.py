"""A worker process: does the commands of :mod:`.commands` by :mod:`servers.serve`. Ends its proxy when it ends."""

from __future__ import annotations

from servers.serve import serve

from .commands import Commands

if __name__ == "__main__":
    serve(Commands())
