"""Ready means served: who waits for which revision of the table, and what each replica of Traefik serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from .. import metrics
from ..errors import RouteNotReady
from ..routing.revision import Revision
from ..traefik.endpoint import Endpoint
from .replica import Replica, Standing

# Seconds after which one that was asked, and has not answered, counts as silent.
_SILENT_AFTER = 0.125
# Seconds for which those who want fresh answers wait for one of each replica, in the background or down as it may be.
_FRESH_PATIENCE = 0.25


@dataclass(eq=False, slots=True)
class _Waiter:
    revision: Revision
    router: str | None
    needs_one: bool
    is_patient: bool
    #: Whose answers it waits for, until `pending_until` (:func:`time.monotonic`), whatever is known of them.
    pending: set[Replica]
    pending_until: float
    done: asyncio.Future[None]


class Readiness:
    """Releases each waiter once every replica that is waited for (:class:`~jhub_kvproxy.push.replica.Standing`) serves
    its revision.

    It asks nobody: whoever knows what a replica serves, or why it does not answer, tells by :meth:`answered` and
    :meth:`failed`. `advice`, in sentences, says what to do about a replica that lags. Methods may be called from the
    event loop only.
    """

    def __init__(self, log: Any, advice: str) -> None:
        self._log = log
        self._advice = advice
        #: Called when a replica goes down.
        self.on_down: Callable[[], None] = lambda: None
        self._replicas: list[Replica] = []
        self._down: set[Replica] = set()
        self._latest: Revision | None = None
        self._waiters: set[_Waiter] = set()
        self._news = asyncio.Event()

    @property
    def replicas(self) -> list[Replica]:
        """Those that there are."""
        return self._replicas

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiters)

    @property
    def news(self) -> asyncio.Event:
        """Set once the next one begins to wait."""
        return self._news

    def watch(self, apis: Sequence[Endpoint]) -> None:
        """These are the replicas from now on. With none, whatever is committed counts as ready.

        The first ones are waited for if they answer; one that joins later, once it serves the table.
        """
        known = {replica.api.name: replica for replica in self._replicas}
        standing = Standing.CATCHING_UP if known else Standing.AWAITED
        self._replicas = [
            known[api.name] if api.name in known else Replica(api, self._log, standing, self._advice) for api in apis
        ]
        for new in self._replicas:
            if self._latest and new.api.name not in known:
                new.lag.due(self._latest)
        for waiter in self._waiters:
            waiter.pending.intersection_update(self._replicas)
        self._settle()
        self._release(list(self._waiters))

    async def wait(
        self,
        revision: Revision,
        router: str | None,
        timeout: float,
        *,
        needs_one: bool = False,
        for_silent_ones: bool = True,
        for_fresh_answers: bool = False,
    ) -> None:
        """Wait until `revision` is live, and the router `router`, when given, is enabled on a replica at least.

        While none is up, nobody has to serve it, unless it `needs_one`, or has a router.
        Without `for_silent_ones`, a replica that takes long to answer is not waited for if there are others. With
        `for_fresh_answers`, only what replicas answer from now on counts.

        Raises :class:`~jhub_kvproxy.errors.RouteNotReady` with the replica's own words as soon as one
        refuses the router, or after `timeout` seconds.
        """
        if not self._replicas:
            return
        if self._latest is None or self._latest.writer != revision.writer or self._latest.number < revision.number:
            self._latest = revision
            for replica in self._replicas:
                replica.lag.due(revision)
        waiter = _Waiter(
            revision,
            router,
            needs_one or bool(router),
            for_silent_ones,
            set(self._replicas) if for_fresh_answers else set(),
            time.monotonic() + _FRESH_PATIENCE,
            asyncio.get_running_loop().create_future(),
        )
        self._waiters.add(waiter)
        self._release([waiter])
        self._news.set()
        self._news = asyncio.Event()
        with metrics.ready_wait() if for_silent_ones else nullcontext():
            try:
                async with asyncio.timeout(timeout):
                    await waiter.done
            except TimeoutError:
                raise RouteNotReady(self._explain(waiter, timeout)) from None
            finally:
                self._waiters.discard(waiter)

    def answered(self, replica: Replica, revision: str | None, errors: Mapping[str, str] | None = None) -> None:
        """`replica` serves the table of `revision` (None: of no one), and has `errors` (None: those that it had)."""
        replica.answered(revision, self._latest, errors)
        for waiter in self._waiters:
            waiter.pending.discard(replica)
        self._settle()
        self._release(list(self._waiters))

    def failed(self, replica: Replica, why: str) -> None:
        """`replica` does not answer as it should, for the reason `why`, a sentence."""
        replica.failed(why)
        for waiter in self._waiters:
            waiter.pending.discard(replica)
        self._settle()
        self._release(list(self._waiters))

    def close(self) -> None:
        """Release all waiters; there are no replicas any more."""
        self.watch([])
        for waiter in self._waiters:
            if not waiter.done.done():
                waiter.done.set_result(None)

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

    def _release(self, waiters: Iterable[_Waiter]) -> None:
        """Release those of `waiters` who have waited long enough."""
        up = [replica for replica in self._replicas if replica.standing is Standing.AWAITED]
        answering = [replica for replica in up if not replica.is_silent(_SILENT_AFTER)] or up
        joining = [replica for replica in self._replicas if replica.is_joining]
        for waiter in waiters:
            if waiter.pending and time.monotonic() < waiter.pending_until:
                continue
            if not up and waiter.needs_one:
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
                    RouteNotReady(f"{refused[0].api.title} does not serve {waiter.router}: {words}")
                )
            else:
                waiter.done.set_result(None)

    def _explain(self, waiter: _Waiter, timeout: float) -> str:
        revision = waiter.revision
        what = f"{waiter.router} in revision {revision.text}" if waiter.router else f"Revision {revision.text}"
        states = "; ".join(replica.state for replica in self._replicas)
        is_behind = any(
            replica.standing is not Standing.DOWN and replica.revision and not replica.serves(revision)
            for replica in self._replicas
        )
        advice = f" {self._advice}" if is_behind else ""
        return f"{what} of the routing table was not live after {timeout:.3g} s: {states}.{advice}"
