"""A worker process: runs the commands of :mod:`.commands` that :mod:`.serve` reads. It ends its proxy when it ends."""

from __future__ import annotations

from .commands import Commands
from .serve import serve

if __name__ == "__main__":
    serve(Commands())
