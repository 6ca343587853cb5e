"""A slow network between a hub and its store."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any, Self

from servers.cluster import Cluster
from servers.slow import SlowNetwork


class SlowStore:
    """A way to `store` through slow networks, within ``async with``, for a hub whose driver has :attr:`traits`.

    Its processes reach each other as before. Where an answer names one of their ports, as Sentinels do, it names ours.
    """

    #: Of the driver that goes this way.
    traits: dict[str, Any]

    def __init__(self, store: Cluster) -> None:
        self._store = store
        self._networks: dict[int, SlowNetwork] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for process in (*self._store.members, *self._store.helpers):
                network = SlowNetwork(process.port, rewrite=self._rewritten)
                self._networks[process.port] = await stack.enter_async_context(network)
            self._stack = stack.pop_all()
        self.traits = json.loads(self._replaced(json.dumps(self._store.traits), ":{}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def delay(self) -> float:
        """Seconds by which what the hub sends is late."""
        return max(network.delay for network in self._networks.values())

    @delay.setter
    def delay(self, seconds: float) -> None:
        for network in self._networks.values():
            network.delay = seconds

    def _rewritten(self, answer: bytes) -> bytes:
        # Such answers are short, so they come in one piece. All ports have five digits, so the length that stands
        # before one stays right.
        return self._replaced(answer.decode("latin-1"), "\r\n$5\r\n{}\r\n").encode("latin-1")

    def _replaced(self, text: str, form: str) -> str:
        for port, network in self._networks.items():
            text = text.replace(form.format(port), form.format(network.port))
        return text
