"""Ready means served: one poller for all waiters and all replicas."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from .errors import RouteNotReady, TraefikError
from .revision import Revision
from .traefik.api import TraefikAPI

# The first look comes at once, for the small tables; a large one takes Traefik seconds, and asking costs it too.
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.004, 0.25, 1.1


@dataclass(slots=True)
class _Replica:
    api: TraefikAPI
    revision: str | None = None
    down: str | None = None
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Waiter:
    revision: Revision
    router: str | None
    done: asyncio.Future[None]


class Readiness:
    """Releases each waiter once every replica that is up serves its revision.

    A poll asks each replica for the one revision that it serves, however many routes are waited for.
    Traefik switches the API and the routers together (``cmd/traefik/traefik.go``, switchRouter), so the
    revision that its API tells is the one that it serves.
    """

    def __init__(self, provider: str, log: Any) -> None:
        self._provider = provider
        self._log = log
        self._replicas: list[_Replica] = []
        self._waiters: set[_Waiter] = set()
        self._poller: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def watch(self, apis: list[TraefikAPI]) -> None:
        """These are the replicas from now on. With none, whatever is committed counts as ready."""
        self._replicas = [_Replica(api) for api in apis]

    async def wait(self, revision: Revision, name: str | None, timeout: float) -> None:
        """Wait until `revision` is live, and the router `name`, when given, is enabled on a replica at least.

        Raises :class:`~jhub_kvproxy.errors.RouteNotReady` with the replica's own words as soon as one
        refuses the router, or after `timeout` seconds.
        """
        if not self._replicas:
            return
        router = name and f"{name}@{self._provider}"
        waiter = _Waiter(revision, router, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        self._hurry.set()
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(timeout):
                await waiter.done
        except TimeoutError:
            raise RouteNotReady(self._explain(waiter, timeout)) from None
        finally:
            self._waiters.discard(waiter)

    async def close(self) -> None:
        """Release all waiters and end the poller."""
        self.watch([])
        for waiter in self._waiters:
            if not waiter.done.done():
                waiter.done.set_result(None)
        if self._poller:
            self._poller.cancel()
            await asyncio.wait([self._poller])

    async def _poll(self) -> None:
        pause = _FIRST_PAUSE
        async with aiohttp.ClientSession() as session:
            try:
                while self._waiters:
                    if self._hurry.is_set():
                        self._hurry.clear()
                        pause = _FIRST_PAUSE
                    await asyncio.gather(*(self._look(replica, session) for replica in self._replicas))
                    self._release()
                    if self._waiters:
                        await asyncio.sleep(pause)
                        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
            finally:
                # Before the session's close, which awaits: a waiter that comes then needs a new poller.
                self._poller = None

    async def _look(self, replica: _Replica, session: aiohttp.ClientSession) -> None:
        try:
            revision = await replica.api.revision(session, self._provider)
            if revision != replica.revision or replica.down:
                replica.errors = await replica.api.errors(session)
        except TraefikError as error:
            replica.down = str(error)
        except (LookupError, TypeError) as error:
            replica.down = f"{replica.api.url} does not answer as Traefik does ({error!r})"
        else:
            replica.revision, replica.down = revision, None

    def _release(self) -> None:
        up = [replica for replica in self._replicas if not replica.down]
        for waiter in list(self._waiters):
            if not up and waiter.router:
                continue  # nobody serves it; without replicas up, a route that must go is gone
            behind = [r for r in up if r.revision is None or not waiter.revision.is_reached_by(r.revision)]
            refused = [r for r in up if r not in behind and waiter.router in r.errors]
            if waiter.done.done() or (behind and not refused):
                continue
            self._waiters.discard(waiter)
            if refused and waiter.router:
                words = refused[0].errors[waiter.router]
                waiter.done.set_exception(
                    RouteNotReady(f"Traefik at {refused[0].api.url} does not serve {waiter.router}: {words}")
                )
            else:
                waiter.done.set_result(None)

    def _explain(self, waiter: _Waiter, timeout: float) -> str:
        revision = waiter.revision.text
        what = f"{waiter.router} in revision {revision}" if waiter.router else f"Revision {revision}"
        states = [
            replica.down
            or f"Traefik at {replica.api.url} serves "
            + (
                f"revision {replica.revision}"
                if replica.revision
                else "no table of ours, so it may not read our prefix"
            )
            for replica in self._replicas
        ]
        return f"{what} of the routing table was not live after {timeout:g} s: {'; '.join(states)}."
