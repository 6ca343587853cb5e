"""Changes of routes. Each is put into the table, confirmed by Traefik, and otherwise undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from ..errors import RouteNotReady
from ..routing.routes import Pattern, Route
from ..store.writer import Writer
from .ways import DeliveryWay

_UNDOING = 5.0


@dataclass(eq=False, slots=True)
class _Change:
    """What one call makes of a route; None: it is deleted."""

    route: Route | None


@dataclass(eq=False, slots=True)
class _UnderWay:
    """The calls that change one route now."""

    #: The route as the latest call left it that succeeded; None: there is none.
    confirmed: Route | None
    #: Later ones, which have neither succeeded nor failed.
    changes: list[_Change] = field(default_factory=list)
    calls: int = 0

    @property
    def wanted(self) -> Route | None:
        return self.changes[-1].route if self.changes else self.confirmed

    def succeed(self, change: _Change) -> None:
        if change in self.changes:
            self.confirmed = change.route
            del self.changes[: self.changes.index(change) + 1]

    def fail(self, change: _Change) -> None:
        if change in self.changes:
            self.changes.remove(change)


class RouteChanges:
    """Adds and deletes routes. One call takes up to `timeout` seconds for the store, and as much for Traefik.

    A call that fails because of Traefik waits up to 5 s more until it is undone, which may go on later.

    When calls for the same route overlap, the last one counts. One that fails, or is cancelled, counts no longer: the
    route is as the last call left it that did not.
    """

    def __init__(self, writer: Writer, delivery: DeliveryWay, timeout: float) -> None:
        self.timeout = timeout
        self._writer = writer
        self._delivery = delivery
        self._under_way: dict[str, _UnderWay] = {}

    async def add(self, route: Route) -> Route | None:
        """Add or change a route; returns what was in its place when every replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.RouteNotReady` or :class:`~jhub_kvproxy.errors.BackendError`.
        """
        previous, before = self._writer.latest(route.name), self._writer.revision
        try:
            with self._change(route.name, route) as succeeded:
                revision = await self._writer.put(route, self.timeout)
                await self._delivery.confirm(revision, route, self.timeout, is_new=revision != before)
                succeeded()
        except RouteNotReady as error:
            await self._writer.settle(min(self.timeout, _UNDOING))
            raise RouteNotReady(f"The route {route.routespec!r} was not added. {error}") from error
        return previous

    async def delete(self, routespec: str) -> None:
        """Delete a route, if it is there; returns when no replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.BackendError` when it is still there, and
        :class:`~jhub_kvproxy.errors.RouteNotReady` when it is deleted, and a replica may serve it for a while.
        """
        name, before = Pattern.parse(routespec).name, self._writer.revision
        with self._change(name, None) as succeeded:
            revision = await self._writer.delete(name, self.timeout)
            succeeded()
        try:
            await self._delivery.confirm(revision, None, self.timeout, is_new=revision != before)
        except RouteNotReady as error:
            raise RouteNotReady(
                f"The route {routespec!r} is deleted, but a Traefik may serve it still. {error}"
            ) from error

    @contextmanager
    def _change(self, name: str, route: Route | None) -> Iterator[Callable[[], None]]:
        """A call that makes `route` of the route `name`; it is undone if it raises before it says that it succeeded."""
        under_way = self._under_way.setdefault(name, _UnderWay(self._writer.latest(name)))
        change = _Change(route)
        under_way.changes.append(change)
        under_way.calls += 1
        try:
            yield partial(under_way.succeed, change)
        except BaseException:
            under_way.fail(change)
            self._writer.restore(name, under_way.wanted)
            raise
        finally:
            under_way.calls -= 1
            if not under_way.calls:
                del self._under_way[name]
