"""The way by the plugin: what is committed is pushed to each Traefik, whose answer says what it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import RouteNotReady
from ..routing.policy import Policy
from ..routing.revision import Revision
from ..routing.routes import Route
from ..store.lease import Lease
from ..store.reconciler import Committed
from ..store.writer import Writer
from .journal import Journal
from .plugin import Answer
from .pusher import Pusher
from .readiness import Readiness
from .replica import Replica
from .wire import form_of


class PushDelivery:
    """Brings each change to the replicas that `readiness` knows, and waits until they serve it.

    For `owns_replicas` see :class:`~jhub_kvproxy.push.pusher.Pusher`.
    """

    def __init__(
        self, policy: Policy, writer: Writer, lease: Lease, readiness: Readiness, log: Any, *, owns_replicas: bool
    ) -> None:
        self._readiness = readiness
        self._journal = Journal(form_of(policy))
        self._pusher = Pusher(readiness, self._journal, policy, writer, lease, log, owns_replicas=owns_replicas)

    @property
    def answers(self) -> Mapping[Replica, Answer]:
        """What the plugin of each replica answered last."""
        return self._pusher.answers

    def committed(self, committed: Committed) -> None:
        self._journal.record(committed.revision, committed.routes, is_whole=committed.is_whole)

    def watch(self, replicas: Sequence[Replica]) -> None:
        """Bring the table to these, and no others."""
        self._pusher.watch(replicas)

    async def confirm(self, revision: Revision, route: Route | None, timeout: float, *, is_new: bool) -> None:
        """Wait until every replica that is up serves `revision`, and `route`, if that is given, with it.

        Raises :class:`~jhub_kvproxy.errors.RouteNotReady` after `timeout` seconds, or when a plugin refuses `route`.
        """
        await self._readiness.wait(revision, None, timeout, needs_one=route is not None)
        if route and (why := self._journal.refusal(route)):
            raise RouteNotReady(f"{why}.")

    async def close(self) -> None:
        await self._pusher.close()
