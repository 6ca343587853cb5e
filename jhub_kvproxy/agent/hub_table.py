"""The table of one hub, as an agent knows it from the store. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import RouteRejected
from ..routing.hub_options import HUB_OPTIONS, HubOptions
from ..routing.records import RECORDS, REVISION, SUM, changed_sum, read_routes, revision_in, sum_of, sum_text
from ..routing.revision import Revision
from ..routing.routes import Route


class NoTable(Exception):
    """What stands in the store is none of a hub's tables; the text says why, as a part of a sentence."""


@dataclass(slots=True)
class HubTable:
    """Routes by name, what the hub's options make of them, and the keys in the store that say so."""

    keys: dict[str, str] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    options: HubOptions = field(default_factory=HubOptions)
    #: What is wrong with the records that cannot be read, by key.
    damaged: dict[str, str] = field(default_factory=dict)
    _sum: int = field(init=False)

    def __post_init__(self) -> None:
        self._sum = sum_of(self.keys)

    @property
    def is_whole(self) -> bool:
        """Whether it is what its hub wrote, as far as the hub has said that."""
        return self.keys.get(SUM) in (None, sum_text(self._sum))

    @property
    def revision(self) -> str:
        """Empty: there is no table yet."""
        return revision_in(self.keys)

    def is_before(self, revision: str) -> bool:
        """Whether `revision` is a later one of the writer of this table."""
        ours, theirs = Revision.read(self.revision), Revision.read(revision)
        return ours.writer == theirs.writer and ours.term == theirs.term and ours.number < theirs.number

    def is_newer_than(self, revision: str) -> bool:
        return bool(self.revision) and Revision.read(self.revision).rank > Revision.read(revision).rank

    def take(self, told: Mapping[str, str | None]) -> dict[str, Route | None] | None:
        """Make the changes that a watch has told of, if they lead to a later revision of the same writer.

        Returns the routes that have changed, by name; None: nothing is changed, and the store must be read.
        """
        revision = told.get(REVISION)
        if not revision or not self.is_before(revision) or HUB_OPTIONS in told:
            return None
        new_sum = changed_sum(self._sum, self.keys, told)
        if told.get(SUM, self.keys.get(SUM)) not in (None, sum_text(new_sum)):
            return None
        changed: dict[str, Route | None] = {}
        for key, record in told.items():
            if key.startswith(RECORDS):
                try:
                    changed[key.removeprefix(RECORDS)] = None if record is None else Route.from_record(record)
                except RouteRejected:
                    return None
        self._sum = new_sum
        for key, value in told.items():
            self.damaged.pop(key, None)
            if value is None:
                self.keys.pop(key, None)
            else:
                self.keys[key] = value
        for name, route in changed.items():
            if route:
                self.routes[name] = route
            else:
                self.routes.pop(name, None)
        return changed


def read_table(keys: Mapping[str, str], known: HubTable) -> HubTable:
    """The table in `keys`. A route that `known` has just so stays the same object.

    Where a record is damaged, the route that `known` has there stays. Raises :class:`NoTable`, also for one that is
    not as its hub wrote it, if a table is known already.
    """
    if not revision_in(keys):
        raise NoTable("it is empty, until its hub writes it" if not keys else "it has no revision")
    options = HubOptions()
    if record := keys.get(HUB_OPTIONS):
        try:
            options = HubOptions.from_record(record)
        except ValueError as error:
            raise NoTable(f"its key {HUB_OPTIONS!r} cannot be read: {error}") from error
    table = HubTable(dict(keys), {}, options)
    if known.revision and not table.is_whole:
        raise NoTable("it is not what its hub wrote there last, which the hub puts right when it notices")
    table.routes, table.damaged = read_routes(keys, known.keys, known.routes)
    for name in (key.removeprefix(RECORDS) for key in table.damaged):
        if name in known.routes:
            table.routes[name] = known.routes[name]
    return table


def changed_routes(before: HubTable, after: HubTable) -> dict[str, Route | None]:
    """The routes that make `after` of `before`, by name; None: it is gone."""
    changed: dict[str, Route | None] = {name: None for name in before.routes if name not in after.routes}
    changed.update((name, route) for name, route in after.routes.items() if before.routes.get(name) is not route)
    return changed
