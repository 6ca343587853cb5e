"""The interface of all stores."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from ...errors import BenchmarkError
from ..part import Part

_RUN_TIMEOUT = 60.0


class Store(ABC):
    """A store, not started when it is constructed; :meth:`stop` ends what :meth:`start` started."""

    backend: ClassVar[str]
    #: The name of the backend's class, and its traits.
    section: ClassVar[str]
    traits: dict[str, Any]

    def __init__(self) -> None:
        #: Its processes. None: the store is files.
        self.parts: list[Part] = []
        #: Other processes that it needs.
        self.helpers: list[Part] = []

    async def start(self) -> None:
        """Start it; return when it accepts writes."""
        for part in [*self.parts, *self.helpers]:
            if not part.is_running:
                part.start()
        await self.wait()

    async def wait(self) -> None:
        """Wait until it accepts writes."""
        for part in self.parts:
            await part.until(self.is_ready)

    def stop(self) -> None:
        for part in [*self.helpers, *self.parts]:
            part.kill()

    async def is_ready(self) -> bool:
        """Whether it accepts writes."""
        try:
            return await asyncio.to_thread(self.looks_ready)
        except (OSError, ValueError, LookupError, BenchmarkError):
            return False

    @abstractmethod
    def looks_ready(self) -> bool:
        """The same; may block, and raise OSError, ValueError, LookupError, BenchmarkError."""

    @abstractmethod
    async def empty(self) -> None:
        """Remove everything in it, with its own client."""

    async def leader(self) -> Part:
        """The leader, or the primary."""
        raise NotImplementedError


async def run(command: Sequence[str]) -> str:
    """The output of `command`. Raises BenchmarkError with its message if it fails, or does not end."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_RUN_TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise BenchmarkError(f"{' '.join(command)} did not end within {_RUN_TIMEOUT:g} s") from None
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise BenchmarkError(f"{command[0]} failed: {output.decode(errors='replace').strip()}")
    return output.decode()


def ask(url: str, message: Any = None, method: str = "") -> Any:
    """The answer of a JSON API; data, if any, is sent with `method`, or POST. Blocks."""
    body = None if message is None else json.dumps(message).encode()
    request = urllib.request.Request(url, body, method=method or None)
    with urllib.request.urlopen(request, timeout=2) as answer:
        return json.load(answer)
