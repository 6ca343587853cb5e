"""Files that others replace while we run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

_INTERVAL = 1.0


class WatchedFiles:
    """Calls `changed` a second or so after one of the `files` was replaced or written to.

    `changed` raises OSError or ValueError when the files are not, or not yet, as they should be; it is then called
    again every second until they are. A file that is missing is not as it should be.
    """

    def __init__(self, files: Iterable[Path], changed: Callable[[], Awaitable[None]], log: Any) -> None:
        self._files = list(files)
        self._changed = changed
        self._log = log
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch; what the files are like now is known to whoever cares."""
        await self.close()
        self._task = asyncio.create_task(self._watch(await self._look()))

    async def close(self) -> None:
        """Stop watching. Without a start, do nothing."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _watch(self, known: list[Any]) -> None:
        said = ""
        while True:
            await asyncio.sleep(_INTERVAL)
            seen = await self._look()
            if seen == known:
                continue
            try:
                await self._changed()
            except (OSError, ValueError) as error:
                if str(error) != said:
                    said = str(error)
                    self._log.warning("%s", said)
                continue
            known, said = seen, ""

    async def _look(self) -> list[Any]:
        return await asyncio.to_thread(lambda: [_identity(path) for path in self._files])


def _identity(path: Path) -> Any:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
