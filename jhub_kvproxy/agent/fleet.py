"""The tables of several hubs as one: who owns which place, and what is refused. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..routing.hub_options import Claim, HubOptions
from ..routing.policy import Policy
from ..routing.routes import Route

Routes = dict[str, Route | None]

#: While Traefik does not answer, nobody asks for marks, and they gather.
_MOST_MARKS = 2000


class Fleet:
    """The routes of `hubs`, in order of precedence.

    A route belongs to the hub whose claim is the narrowest of those that cover its place. If hubs claim the same place,
    and have a route there, the first of them keeps it. All other routes there are refused.
    """

    def __init__(self, hubs: Sequence[str]) -> None:
        self._hubs = list(hubs)
        self._routes: dict[str, Mapping[str, Route]] = {hub: {} for hub in hubs}
        #: Of those that have a table: a hub that has none yet claims nothing.
        self._options: dict[str, HubOptions] = {}
        #: Whose route is served, by the route's name.
        self._owners: dict[str, str] = {}
        #: The routespec of each route that is not served, and why, by hub and the route's name.
        self._refused: dict[str, dict[str, tuple[str, str]]] = {hub: {} for hub in hubs}

    def change(self, hub: str, names: Iterable[str], routes: Mapping[str, Route], options: HubOptions) -> Routes:
        """`routes` are those of `hub` now; those with `names` have changed, and all may have if its options have.

        Returns what changes in the table of all hubs.
        """
        has_new_claim = hub not in self._options or self._claim(hub) != options.claim
        self._routes[hub], self._options[hub] = routes, options
        if has_new_claim and len(self._hubs) > 1:
            names = {name for known in self._routes.values() for name in known}.union(names)
        return {name: self._settle(name) for name in names}

    def owner(self, name: str) -> str | None:
        """The hub whose route with this name is served."""
        return self._owners.get(name)

    def policy_of(self, route: Route) -> Policy:
        """What the hub that owns `route` makes of it."""
        owner = self._owners.get(route.name)
        return self._options[owner].policy if owner else Policy()

    def all(self) -> Routes:
        """All routes that are served."""
        return {name: self._routes[hub][name] for name, hub in self._owners.items()}

    def refused(self, hub: str) -> dict[str, str]:
        """Why routes of `hub` are not served, by routespec."""
        return dict(self._refused[hub].values())

    def _settle(self, name: str) -> Route | None:
        """Decide whose route `name` is; what is served there now."""
        having = [hub for hub in self._hubs if name in self._routes[hub]]
        for hub in self._hubs:
            self._refused[hub].pop(name, None)
        if not having:
            self._owners.pop(name, None)
            return None
        owner = having[0]
        if len(self._hubs) > 1:
            owner = self._owner_of(name, having) or ""
        for hub in having:
            if hub != owner:
                self._refused[hub][name] = self._routes[hub][name].routespec, self._why_refused(name, hub, owner)
        if not owner:
            self._owners.pop(name, None)
            return None
        self._owners[name] = owner
        return self._routes[owner][name]

    def _owner_of(self, name: str, having: Sequence[str]) -> str | None:
        claimants = self._claimants(name, having[0])
        return next((hub for hub in having if not claimants or hub in claimants), None)

    def _claimants(self, name: str, having: str) -> list[str]:
        """The hubs with the narrowest claim on the place of the route `name`, which the hub `having` has."""
        pattern = self._routes[having][name].pattern
        claims = {hub: self._claim(hub) for hub in self._hubs if hub in self._options}
        covering = {hub: claim for hub, claim in claims.items() if claim.covers(pattern)}
        narrowest = max((claim.size for claim in covering.values()), default=None)
        return [hub for hub, claim in covering.items() if claim.size == narrowest]

    def _why_refused(self, name: str, hub: str, owner: str) -> str:
        if owner and self._claim(owner) == self._claim(hub):
            return f"the hub {owner!r} claims the same place, {self._claim(owner)}, and comes first in Agent.hubs"
        for claimant in self._claimants(name, hub):
            return f"its place belongs to the hub {claimant!r}, which claims {self._claim(claimant)}"
        return f"the hub {owner!r} has it too, and comes first in Agent.hubs; no hub claims it"

    def _claim(self, hub: str) -> Claim:
        return self._options[hub].claim


class Marks:
    """Which revision of each hub's table is in which number of our own.

    Of numbers that are long past, that is forgotten.
    """

    def __init__(self) -> None:
        self._marks: list[tuple[int, str, tuple[str, str]]] = []

    def add(self, number: int, hub: str, revision: str, form: str) -> None:
        """From `number` on, our table has the `revision` of `hub` in this form."""
        self._marks.append((number, hub, (revision, form)))
        if len(self._marks) > _MOST_MARKS:
            self._forget_before(self._marks[_MOST_MARKS // 2][0])

    def at(self, number: int) -> dict[str, tuple[str, str]]:
        """Revision and form of each hub's table in the one with this `number`. Later questions have no smaller one."""
        self._forget_before(number)
        return {hub: mark for at, hub, mark in self._marks if at <= number}

    def _forget_before(self, number: int) -> None:
        """Keep what is in `number` and later ones."""
        past = {hub: (at, hub, mark) for at, hub, mark in self._marks if at <= number}
        self._marks = [*past.values(), *(entry for entry in self._marks if entry[0] > number)]
