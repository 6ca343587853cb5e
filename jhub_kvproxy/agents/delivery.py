"""The way by the agents: they bring what the store has to their Traefiks, and say what these serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import RouteNotReady
from ..push.plugin import Answer
from ..push.readiness import Readiness
from ..push.replica import Replica, Standing
from ..push.wire import Served
from ..routing.revision import Revision
from ..routing.routes import Route
from ..store.reconciler import Committed
from .listeners import Listeners


class AgentDelivery:
    """Waits until the agents that `readiness` knows say that their Traefiks serve a change.

    `hub` is the prefix of the table, and `form` what the hub's options make of it.
    """

    def __init__(self, readiness: Readiness, hub: str, form: str, log: Any) -> None:
        self._readiness = readiness
        self._listeners = Listeners(readiness, hub, form, log)

    @property
    def answers(self) -> Mapping[Replica, Answer]:
        """What the plugin beside each agent serves of this hub's table."""
        return {
            replica: Answer(Served(state.revision, state.form), state.routes, state.requests)
            for replica, state in self._listeners.states.items()
        }

    def committed(self, committed: Committed) -> None:
        """Nothing is sent: the store tells the agents."""

    def watch(self, replicas: Sequence[Replica]) -> None:
        """Listen to these, and no others."""
        self._listeners.watch(replicas)

    async def confirm(self, revision: Revision, route: Route | None, timeout: float, *, is_new: bool) -> None:
        """Wait until every replica that is up serves `revision`, and `route`, if that is given, with it.

        Raises :class:`~jhub_kvproxy.errors.RouteNotReady` after `timeout` seconds, or when an agent refuses `route`.
        """
        await self._readiness.wait(revision, None, timeout, needs_one=route is not None)
        if route is None:
            return
        for replica, state in self._listeners.states.items():
            is_told = replica.standing is not Standing.DOWN and replica.serves(revision)
            if is_told and (why := state.refused.get(route.routespec)):
                raise RouteNotReady(f"{replica.api.title} does not serve it: {why.rstrip('.')}.")

    async def close(self) -> None:
        await self._listeners.close()
