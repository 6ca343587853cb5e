"""A slow network between a hub and its store."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any, Self

from jhub_kvproxy.testing import Line
from servers.cluster import Cluster


class SlowStore:
    """A way to `store` through slow lines, within ``async with``, for a hub whose driver has :attr:`traits`.

    Its processes reach each other as before. Where an answer names one of their ports, as Sentinels do, it names ours.
    """

    #: Of the driver that goes this way.
    traits: dict[str, Any]

    def __init__(self, store: Cluster) -> None:
        self._store = store
        self._lines: dict[int, Line] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for process in (*self._store.members, *self._store.helpers):
                line = Line("127.0.0.1", process.port, rewrite=self._rewritten)
                self._lines[process.port] = await stack.enter_async_context(line)
            self._stack = stack.pop_all()
        self.traits = json.loads(self._replaced(json.dumps(self._store.traits), ":{}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def delay(self) -> float:
        """Seconds by which what the hub sends is late."""
        return max(line.delay for line in self._lines.values())

    @delay.setter
    def delay(self, seconds: float) -> None:
        for line in self._lines.values():
            line.delay = seconds

    def _rewritten(self, answer: bytes) -> bytes:
        # Such answers are short, so they come in one piece. All ports have five digits, so the length that stands
        # before one stays right.
        return self._replaced(answer.decode("latin-1"), "\r\n$5\r\n{}\r\n").encode("latin-1")

    def _replaced(self, text: str, form: str) -> str:
        for port, line in self._lines.items():
            text = text.replace(form.format(port), form.format(line.port))
        return text
