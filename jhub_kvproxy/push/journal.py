"""The table as all plugins are to serve it, and its last changes, for those that lack some."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from ..routing.revision import Revision
from ..routing.routes import Route
from .wire import Message, Served, key_of, pattern_of

#: A plugin that lacks more commits, or more changes in them, is told the whole table.
_MOST_COMMITS, _MOST_CHANGES = 500, 2000


class Journal:
    """Records what is committed, and says what a plugin lacks. It does no I/O and never blocks.

    `form` is that of the tables (:func:`~jhub_kvproxy.push.wire.form_of`).
    """

    def __init__(self, form: str) -> None:
        self._form = form
        self._routes: dict[str, Route] = {}
        #: Each by the plugin's keys, with the revision before it.
        self._changes: deque[tuple[str, dict[str, Route | None]]] = deque()
        #: How many changes these have, in all.
        self._count = 0
        #: Routes that a plugin has refused, and why, by name. They are left out of all tables.
        self._refused: dict[str, tuple[Route, str]] = {}
        self._news = asyncio.Event()
        #: The newest revision; None: nothing was committed yet.
        self.revision: Revision | None = None

    @property
    def goal(self) -> Served:
        """What each plugin is to serve."""
        return Served(self.revision.text, self._form) if self.revision else Served()

    @property
    def news(self) -> asyncio.Event:
        """Set once the next revision is there."""
        return self._news

    def record(self, revision: Revision, routes: Mapping[str, Route | None], *, is_whole: bool) -> None:
        """The table is at `revision`: `routes` by name have changed (None: is gone), or are all that there are."""
        before, self.revision = self.goal.revision, revision
        if is_whole:
            self._changes.clear()
            self._count = 0
            self._refused.clear()
            self._routes = {name: route for name, route in routes.items() if route}
        else:
            changes = self._take(routes)
            self._changes.append((before, changes))
            self._count += len(changes)
            while len(self._changes) > _MOST_COMMITS or self._count > _MOST_CHANGES:
                self._count -= len(self._changes.popleft()[1])
        self._news.set()
        self._news = asyncio.Event()

    def message(self, served: Served | None) -> Message | None:
        """What brings a plugin to the goal that serves `served` (None: whatever it serves, by the whole table).

        None: it is there, or there is no goal yet.
        """
        goal = self.goal
        if served == goal or not goal.revision:
            return None
        changes = self._since(served.revision) if served and served.form == goal.form else None
        if changes is None or len(changes) > len(self._routes):
            return Message(goal, None, [route for name, route in self._routes.items() if name not in self._refused])
        put, delete = [], []
        for key, route in changes.items():
            if route and not self.leaves_out(key):
                put.append(route)
            else:
                delete.append(key)
        return Message(goal, served, put, delete)

    def refuse(self, key: str, why: str) -> bool:
        """Leave out the route with this `key`, which a plugin has refused for the reason `why`, until it is changed.

        Returns whether there is such a route, and it was not left out before.
        """
        name = pattern_of(key).name
        route = self._routes.get(name)
        if route is None or name in self._refused:
            return False
        self._refused[name] = (route, why)
        return True

    def leaves_out(self, key: str) -> bool:
        """Whether the route with this `key` is left out now."""
        return bool(self._refused) and pattern_of(key).name in self._refused

    @property
    def refused(self) -> list[tuple[Route, str]]:
        """The routes that are left out, and why."""
        return list(self._refused.values())

    def refusal(self, route: Route) -> str:
        """Why `route` is left out; empty: it is not."""
        refused, why = self._refused.get(route.name, (None, ""))
        return why if refused == route else ""

    def _take(self, routes: Mapping[str, Route | None]) -> dict[str, Route | None]:
        changes: dict[str, Route | None] = {}
        for name, route in routes.items():
            old = self._routes.pop(name, None)
            if route:
                self._routes[name] = route
            if known := route or old:
                changes[key_of(known.pattern)] = route
                self._refused.pop(name, None)
        return changes

    def _since(self, revision: str) -> dict[str, Route | None] | None:
        """What has changed since `revision`, in all; None: that is not known any more."""
        later: list[dict[str, Route | None]] = []
        for before, changes in reversed(self._changes):
            later.append(changes)
            if before == revision:
                merged: dict[str, Route | None] = {}
                for each in reversed(later):
                    merged |= each
                return merged
        return None
