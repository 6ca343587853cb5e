"""Ready means served: one poller for all waiters and all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import aiohttp

from . import metrics
from .errors import RouteNotReady
from .replica import Replica, Standing
from .revision import Revision
from .traefik.api import TraefikAPI

# The first look comes at once, for the small tables; a large one takes Traefik seconds, and asking costs it too.
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.004, 0.25, 1.1
# Between looks in the background, at one that is waited for and at one that is not.
_UP_INTERVAL, _OTHER_INTERVAL = 5.0, 1.0


@dataclass(eq=False, slots=True)
class _Waiter:
    revision: Revision
    router: str | None
    is_patient: bool
    done: asyncio.Future[None]


class Readiness:
    """Releases each waiter once every replica that is waited for (:class:`~jhub_kvproxy.replica.Standing`) serves
    its revision.

    A poll asks each replica for the one revision that it serves, however many routes are waited for.
    Traefik switches the API and the routers together (``cmd/traefik/traefik.go``, switchRouter), so the
    revision that its API tells is the one that it serves. Between polls, all replicas are looked at now and
    then, so that one that is down, or back, is known before a route change comes.
    """

    def __init__(self, provider: str, log: Any) -> None:
        self._provider = provider
        self._log = log
        #: Called when a replica goes down.
        self.on_down: Callable[[], None] = lambda: None
        self._replicas: list[Replica] = []
        self._down: set[Replica] = set()
        self._keepers: dict[Replica, asyncio.Task[None]] = {}
        self._latest: Revision | None = None
        self._waiters: set[_Waiter] = set()
        self._poller: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None

    @property
    def replicas(self) -> list[Replica]:
        """Those that there are."""
        return self._replicas

    def watch(self, apis: list[TraefikAPI]) -> None:
        """These are the replicas from now on. With none, whatever is committed counts as ready.

        The first ones are waited for if they answer; one that joins later, once it serves the table.
        """
        known = {replica.api.name: replica for replica in self._replicas}
        standing = Standing.CATCHING_UP if known else Standing.AWAITED
        self._replicas = [
            known.pop(api.name) if api.name in known else Replica(api, self._provider, self._log, standing)
            for api in apis
        ]
        for gone in known.values():
            self._keepers.pop(gone).cancel()
        for new in self._replicas:
            if new not in self._keepers:
                if self._latest:
                    new.lag.due(self._latest)
                self._keepers[new] = asyncio.create_task(self._keep(new))
        self._settle()

    async def wait(self, revision: Revision, name: str | None, timeout: float, *, for_silent_ones: bool = True) -> None:
        """Wait until `revision` is live, and the router `name`, when given, is enabled on a replica at least.

        Without `for_silent_ones`, a replica that takes long to answer is not waited for if there are others.

        Raises :class:`~jhub_kvproxy.errors.RouteNotReady` with the replica's own words as soon as one
        refuses the router, or after `timeout` seconds.
        """
        if not self._replicas:
            return
        if self._latest is None or self._latest.writer != revision.writer or self._latest.number < revision.number:
            self._latest = revision
            for replica in self._replicas:
                replica.lag.due(revision)
        router = name and f"{name}@{self._provider}"
        waiter = _Waiter(revision, router, for_silent_ones, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        self._hurry.set()
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        with metrics.ready_wait() if for_silent_ones else nullcontext():
            try:
                async with asyncio.timeout(timeout):
                    await waiter.done
            except TimeoutError:
                raise RouteNotReady(self._explain(waiter, timeout)) from None
            finally:
                self._waiters.discard(waiter)

    async def close(self) -> None:
        """Release all waiters and end all tasks."""
        replicas, tasks = self._replicas, [*self._keepers.values()]
        self.watch([])
        for waiter in self._waiters:
            if not waiter.done.done():
                waiter.done.set_result(None)
        if self._poller:
            self._poller.cancel()
            tasks.append(self._poller)
        if tasks:
            await asyncio.wait(tasks)
        for replica in replicas:
            await replica.close()
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _poll(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while self._waiters:
                if self._hurry.is_set():
                    self._hurry.clear()
                    pause = _FIRST_PAUSE
                awaited = [r for r in self._replicas if r.standing is Standing.AWAITED]
                # One that joins right now must not be missed. The answers of the others hold up nobody.
                self._ask(self._replicas)
                # One that hangs holds up its own look, not those at the others.
                await self._look(awaited or self._replicas, _LONGEST_PAUSE)
                self._release()
                if self._waiters:
                    await asyncio.sleep(pause)
                    pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        finally:
            self._poller = None

    async def _keep(self, replica: Replica) -> None:
        """Look at `replica` as long as it is one."""
        try:
            while True:
                await self._look([replica], None)
                await asyncio.sleep(_UP_INTERVAL if replica.standing is Standing.AWAITED else _OTHER_INTERVAL)
        finally:
            await replica.close()

    async def _look(self, replicas: list[Replica], patience: float | None) -> None:
        """Ask `replicas` what they serve, and wait for the answers `patience` seconds (None: as they take)."""
        if replicas:
            await asyncio.wait(self._ask(replicas), timeout=patience)
        self._settle()

    def _ask(self, replicas: list[Replica]) -> list[asyncio.Task[None]]:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return [replica.look(self._session, self._latest) for replica in replicas]

    def _settle(self) -> None:
        """Look what has become of the replicas; with none to wait for, those that are behind are better than none."""
        down = {replica for replica in self._replicas if replica.standing is Standing.DOWN}
        if down - self._down:
            self.on_down()
        self._down = down
        if not any(replica.standing is Standing.AWAITED for replica in self._replicas):
            for replica in self._replicas:
                if replica.standing is not Standing.DOWN:
                    replica.await_alone()

    def _release(self) -> None:
        up = [replica for replica in self._replicas if replica.standing is Standing.AWAITED]
        answering = [replica for replica in up if not replica.is_silent(_LONGEST_PAUSE / 2)] or up
        joining = [replica for replica in self._replicas if replica.is_joining]
        for waiter in list(self._waiters):
            if not up and waiter.router:
                continue  # nobody serves it; without replicas up, a route that must go is gone
            awaited = [*(up if waiter.is_patient else answering), *joining]
            behind = [replica for replica in awaited if not replica.serves(waiter.revision)]
            if len(behind) < len(awaited):
                for replica in behind:
                    replica.misses(waiter.revision)
            refused = [r for r in up if r not in behind and waiter.router in r.errors]
            if waiter.done.done() or (behind and not refused):
                continue
            self._waiters.discard(waiter)
            if refused and waiter.router:
                words = refused[0].errors[waiter.router]
                waiter.done.set_exception(
                    RouteNotReady(f"Traefik at {refused[0].api.name} does not serve {waiter.router}: {words}")
                )
            else:
                waiter.done.set_result(None)

    def _explain(self, waiter: _Waiter, timeout: float) -> str:
        revision = waiter.revision.text
        what = f"{waiter.router} in revision {revision}" if waiter.router else f"Revision {revision}"
        states = "; ".join(replica.state for replica in self._replicas)
        return f"{what} of the routing table was not live after {timeout:g} s: {states}."
