"""Whether the targets of routes answer: whether they accept a connection, which is closed at once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from ..aio import in_thread

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
        self._said, next_ones = await in_thread(_chosen, self._said, targets)
        places = asyncio.Semaphore(_AT_ONCE)

        async def try_one(target: str) -> None:
            async with places:
                self._said[target] = (time.monotonic(), await why_not(target))

        async with asyncio.TaskGroup() as group:
            for target in next_ones:
                group.create_task(try_one(target))


def _chosen(
    said: Mapping[str, tuple[float, str]], targets: Collection[str]
) -> tuple[dict[str, tuple[float, str]], list[str]]:
    """What was said by those of `targets` that were tried, and those to try next. Pure but for the clock."""
    wanted = set(targets)
    kept = {target: found for target, found in said.items() if target in wanted}
    old, never = time.monotonic() - _FRESH, (float("-inf"), "")
    due = sorted((kept.get(target, never)[0], target) for target in wanted)
    return kept, [target for tried, target in due[:_ROUND] if tried < old]


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
