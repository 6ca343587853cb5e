"""Whether the targets of routes answer: whether they accept a connection, which is closed at once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection
from contextlib import suppress
from urllib.parse import urlsplit

#: Seconds for one of them, how many are tried at the same time, and in one round.
_LIMIT, _AT_ONCE, _ROUND = 1.0, 32, 256
#: Seconds for which an answer holds.
_FRESH = 10.0
_PORTS = {"http": 80, "https": 443}


class Targets:
    """What each target said last."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[float, str]] = {}

    def answers(self) -> dict[str, str]:
        """By target: why it does not answer, a few words; empty: it does."""
        return {target: why for target, (_, why) in self._said.items()}

    async def try_some(self, targets: Collection[str]) -> None:
        """Try those of `targets` that were tried longest ago; what others said is forgotten."""
        wanted = set(targets)
        self._said = {target: said for target, said in self._said.items() if target in wanted}
        old = time.monotonic() - _FRESH
        due = {target: self._said[target][0] if target in self._said else float("-inf") for target in wanted}
        next_ones = sorted((target for target in due if due[target] < old), key=lambda target: due[target])[:_ROUND]
        places = asyncio.Semaphore(_AT_ONCE)

        async def try_one(target: str) -> None:
            async with places:
                self._said[target] = (time.monotonic(), await why_not(target))

        await asyncio.gather(*map(try_one, next_ones))


async def why_not(target: str) -> str:
    """Why nothing accepts a connection at the URL `target`, a few words; empty: something does."""
    try:
        url = urlsplit(target)
        async with asyncio.timeout(_LIMIT):
            _, writer = await asyncio.open_connection(url.hostname, url.port or _PORTS.get(url.scheme, 80))
    except TimeoutError:
        return f"no answer in {_LIMIT:g} s"
    except (OSError, OverflowError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) and error.errno else 0
        # gaierror has negative numbers of its own.
        return os.strerror(number).lower() if number > 0 else "the name or the port is not known"
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""
