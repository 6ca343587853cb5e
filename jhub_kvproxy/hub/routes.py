"""The routes of this hub, for JupyterHub and for the REST API: changes of them, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..activity.told import ToldActivity
from ..activity.tracker import Activity
from ..aio import in_thread
from ..routing.described import FOREIGN, LastUse, described, described_by_routespec, never, without_last_activity
from ..routing.routes import Pattern, Route
from ..store.guard import Guard
from ..store.writer import Writer
from .changes import RouteChanges


def is_foreign(route: Mapping[str, Any]) -> bool:
    """Whether a route, described as below, is none of JupyterHub's."""
    return bool(route["data"].get(FOREIGN))


class Routes:
    """A route is described as ``Proxy.get_all_routes`` does it: a dict of ``routespec``, ``target`` and ``data``.

    What is described comes from memory while a watch would tell if it had changed and the store has granted the lease
    not long ago, and otherwise from the store: an unreachable one is an error no later than
    ``KVProxy.lease_seconds`` after it was lost.
    """

    def __init__(
        self, changes: RouteChanges, writer: Writer, guard: Guard, activity: Activity | ToldActivity | None
    ) -> None:
        self._changes = changes
        self._writer = writer
        self._guard = guard
        self._activity = activity

    async def add(self, routespec: str, target: str, data: dict[str, Any] | None) -> None:
        """Add or change a route; returns when every replica that is up serves it.

        `data` may be None, as with configurable-http-proxy: it is ``{}`` then. Raises
        :class:`~jhub_kvproxy.errors.RouteRejected` (a ValueError) for what cannot be routed, and what
        :meth:`~jhub_kvproxy.hub.changes.RouteChanges.add` does. Then the route is as it was before the call.
        """
        data = {} if data is None else data
        if self._activity:
            data = without_last_activity(data)
        route = Route(routespec, target, data)
        previous = await self._changes.add(route)
        if self._activity and (previous is None or previous.target != target):
            self._activity.added(route)

    async def delete(self, routespec: str) -> None:
        """Delete a route, in the way of :meth:`~jhub_kvproxy.hub.changes.RouteChanges.delete`."""
        await self._changes.delete(routespec)

    async def all(self) -> dict[str, dict[str, Any]]:
        """All routes, by routespec, also those that are none of JupyterHub's."""
        routes = await self._known()
        return await in_thread(described_by_routespec, routes, await self._last_use(routes))

    async def one(self, routespec: str) -> dict[str, Any] | None:
        """The route with this routespec, also one that is none of JupyterHub's; None when there is none."""
        name = Pattern.parse(routespec).name
        routes = await self._known()
        return described(routes[name], await self._last_use(routes)) if name in routes else None

    async def _known(self) -> Mapping[str, Route]:
        return await self._writer.routes(from_memory=self._guard.knows_the_store)

    async def _last_use(self, routes: Mapping[str, Route]) -> LastUse:
        if self._activity is None:
            return never
        await self._activity.refresh(routes)
        return self._activity.last_use
