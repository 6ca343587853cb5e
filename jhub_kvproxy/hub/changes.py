"""Changes of routes. Each is put into the table, confirmed by Traefik, and otherwise undone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..errors import BackendError, RouteNotReady
from ..push.delivery import PushDelivery
from ..routing.routes import Pattern, Route
from ..store.writer import Writer
from ..traefik_routers.delivery import StoreDelivery


@dataclass(slots=True)
class _UnderWay:
    """The calls that change one route now."""

    #: The route as it was before them, or as the latest of them that succeeded left it; None: there is none.
    confirmed: Route | None
    #: The number of that call.
    confirmed_by: int = 0
    calls: int = 0
    #: Routes that were put, and not confirmed.
    failed: list[Route] = field(default_factory=list)

    def confirm(self, call: int, route: Route | None) -> None:
        if call > self.confirmed_by:
            self.confirmed, self.confirmed_by = route, call


class RouteChanges:
    """Adds and deletes routes. One call takes up to `timeout` seconds for the store, and as much for Traefik.

    When calls for the same route overlap, the last one counts. One that fails leaves the route as the last call left
    it that succeeded.
    """

    def __init__(self, writer: Writer, delivery: PushDelivery | StoreDelivery, timeout: float) -> None:
        self.timeout = timeout
        self._writer = writer
        self._delivery = delivery
        self._under_way: dict[str, _UnderWay] = {}
        self._last_call = 0

    async def add(self, route: Route) -> Route | None:
        """Add or change a route; returns what was in its place when every replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.RouteNotReady` or :class:`~jhub_kvproxy.errors.BackendError`.
        """
        with self._call(route.name) as (call, under_way):
            previous, before = self._writer.latest(route.name), self._writer.revision
            try:
                revision = await self._writer.put(route, self.timeout)
                await self._delivery.confirm(revision, route, self.timeout, is_new=revision != before)
            except BaseException as error:
                under_way.failed.append(route)
                is_undone = self._undo(route.name, under_way)
                if is_undone and not isinstance(error, asyncio.CancelledError):
                    await self._writer.settle(self.timeout)
                if isinstance(error, RouteNotReady):
                    raise RouteNotReady(f"The route {route.routespec!r} was not added. {error}") from error
                raise
            under_way.confirm(call, route)
        return previous

    async def delete(self, routespec: str) -> None:
        """Delete a route, if it is there; returns when no replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.BackendError` when it is still there, and
        :class:`~jhub_kvproxy.errors.RouteNotReady` when it is deleted, and a replica may serve it for a while.
        """
        name = Pattern.parse(routespec).name
        with self._call(name) as (call, under_way):
            before = self._writer.revision
            try:
                revision = await self._writer.delete(name, self.timeout)
            except BackendError:
                self._undo(name, under_way)
                raise
            under_way.confirm(call, None)
            try:
                await self._delivery.confirm(revision, None, self.timeout, is_new=revision != before)
            except RouteNotReady as error:
                raise RouteNotReady(
                    f"The route {routespec!r} is deleted, but a Traefik may serve it still. {error}"
                ) from error

    @contextmanager
    def _call(self, name: str) -> Iterator[tuple[int, _UnderWay]]:
        """A call that changes the route `name`, with its number."""
        self._last_call += 1
        under_way = self._under_way.setdefault(name, _UnderWay(self._writer.latest(name)))
        under_way.calls += 1
        try:
            yield self._last_call, under_way
        finally:
            under_way.calls -= 1
            if not under_way.calls:
                del self._under_way[name]

    def _undo(self, name: str, under_way: _UnderWay) -> bool:
        """Have the confirmed route in the store again, if one that failed is there now; returns whether it was."""
        latest = self._writer.latest(name)
        if not any(latest is route for route in under_way.failed):
            return False
        self._writer.restore(name, under_way.confirmed)
        return True
