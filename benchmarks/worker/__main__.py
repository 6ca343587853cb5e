"""A worker process: does what :mod:`.commands` can, as it is told by :mod:`.serve`. Ends its proxy when it ends."""

from __future__ import annotations

from .commands import Commands
from .serve import serve

if __name__ == "__main__":
    serve(Commands())
