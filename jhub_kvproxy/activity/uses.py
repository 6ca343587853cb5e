"""When targets were used last, as the kernel of this machine tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ..aio import Tasks, in_thread
from ..errors import KVProxyError
from .clock import NEVER
from .sockets import ClosedConnections, Peer, open_connections
from .targets import Targets

# Closed connections are taken in after pauses of so many seconds, so many at once: that bounds what they cost.
_PAUSE, _AT_ONCE = 0.02, 200
_LOOKUP_PATIENCE = 5.0


class Uses:
    """Times (:func:`~jhub_kvproxy.activity.clock.steady`) of the last data that went to a target or came from it.

    From :meth:`start` to :meth:`close`. `owners` are the users (ids) whose connections count; None: all users'.
    """

    def __init__(self, owners: frozenset[int] | None, log: Any) -> None:
        self._owners = owners
        # The kernel (6.18) does not know any more whose a closed connection was, and says root's.
        self._owners_of_closed = owners and owners | {0}
        self._log = log
        self._targets = Targets()
        self._closed = ClosedConnections()
        #: When each peer of a target was used last; NEVER: not known.
        self._used: dict[Peer, float] = {}
        self._tasks = Tasks(log)
        self._trouble = ""

    def start(self) -> None:
        """Raises :class:`~jhub_kvproxy.errors.KVProxyError` when the kernel does not tell of connections."""
        news = self._closed.open()
        self._tasks.keep(lambda: self._listen(news), "listening to closed connections")

    async def close(self) -> None:
        await self._tasks.close()
        self._closed.close()

    def watch(self, target: str) -> None:
        """Take note of uses of `target` from now on."""
        self._look_up(self._targets.learn([target]))
        self._watch(self._targets.peers(target))

    async def refresh(self, targets: set[str]) -> None:
        """Find out when `targets` were used, and forget all others."""
        lookups = self._look_up(await in_thread(self._targets.learn, targets))
        if lookups:
            await asyncio.wait(lookups, timeout=_LOOKUP_PATIENCE)
        peers = await in_thread(self._keep, targets)
        self._used = {peer: self._used.get(peer, NEVER) for peer in peers}
        try:
            uses = await in_thread(open_connections, self._used.copy(), self._owners)
        except KVProxyError as error:
            if str(error) != self._trouble:
                self._log.warning("%s", error)
            self._trouble = str(error)
        else:
            self._trouble = ""
            for peer, at in uses.items():
                self._is_used(peer, at)

    def last(self, target: str) -> float:
        """When `target` was used last; NEVER: not known."""
        return max((self._used.get(peer, NEVER) for peer in self._targets.peers(target)), default=NEVER)

    def peers(self, target: str) -> frozenset[Peer]:
        """The far ends of connections to `target`; two targets may have the same."""
        return self._targets.peers(target)

    def _keep(self, targets: set[str]) -> set[Peer]:
        self._targets.keep(targets)
        return {peer for target in targets for peer in self._targets.peers(target)}

    def _look_up(self, targets: Iterable[str]) -> list[asyncio.Task[None]]:
        return [self._tasks.start(self._look_up_one(target), f"looking up {target}") for target in targets]

    async def _look_up_one(self, target: str) -> None:
        await self._targets.look_up(target)
        self._watch(self._targets.peers(target))

    def _watch(self, peers: Iterable[Peer]) -> None:
        for peer in peers:
            self._used.setdefault(peer, NEVER)

    async def _listen(self, news: int) -> None:
        while True:
            await _until_readable(news)
            for peer, at in self._closed.news(self._used, self._owners_of_closed, _AT_ONCE):
                self._is_used(peer, at)
            await asyncio.sleep(_PAUSE)

    def _is_used(self, peer: Peer, at: float) -> None:
        if peer in self._used:
            self._used[peer] = max(self._used[peer], at)


async def _until_readable(descriptor: int) -> None:
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
