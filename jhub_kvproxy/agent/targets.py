"""Tells when targets were used, as the kernel sees it: for a Traefik that reads the store by itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ..activity.clock import NEVER, steady
from ..activity.uses import Uses
from ..aio import in_thread


class TargetUses:
    """Answers for the agent's ``POST /activity``, from :meth:`start` to :meth:`close`.

    A target that was not used since the agent was first asked about it is left out.
    """

    def __init__(self, log: Any) -> None:
        self._uses = Uses(None, log)
        self._asking = asyncio.Lock()

    def start(self) -> None:
        """Raises :class:`~jhub_kvproxy.errors.KVProxyError` when the kernel does not tell of connections."""
        self._uses.start()

    async def close(self) -> None:
        await self._uses.close()

    async def answer(self, body: bytes) -> dict[str, float]:
        """Seconds since each of the targets in `body` was used. Raises ValueError for what is no list of targets."""
        targets = await in_thread(_targets, body)
        async with self._asking:
            await self._uses.refresh(targets)
        now = steady()
        return {target: round(max(0.0, now - at), 3) for target in targets if (at := self._uses.last(target)) != NEVER}


def _targets(body: bytes) -> set[str]:
    try:
        targets = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise ValueError("not a list of targets")
    return set(targets)
