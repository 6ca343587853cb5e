"""The table that Traefik is to serve: the tables of all hubs in one, numbered by revisions of the agent's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..push.journal import Journal
from ..push.wire import AGENT_FORM, form_of
from ..routing.revision import Revision
from .fleet import Fleet, Marks
from .hub_table import HubTable


class Merged:
    """Puts what changes in the tables of `hubs` into a :attr:`journal`, and knows which of them a revision has.

    A new object has a later term than an earlier one, so its table counts as newer.
    """

    def __init__(self, hubs: Sequence[str]) -> None:
        self.fleet = Fleet(hubs)
        self.journal = Journal(AGENT_FORM)
        self._revision = Revision.first()
        self._marks = Marks()
        self._tables: dict[str, HubTable] = {}

    def change(self, hub: str, table: HubTable, names: Iterable[str], *, has_new_options: bool) -> None:
        """`table` is that of `hub` now; the routes with these `names` have changed."""
        is_whole = has_new_options or self.journal.revision is None
        changes = self.fleet.change(hub, names, table.routes, table.options)
        self._tables[hub] = table
        self._revision = self._revision.next()
        self._marks.add(self._revision.number, hub, table.revision, form_of(table.options.policy))
        self.journal.record(self._revision, self.fleet.all() if is_whole else changes, is_whole=is_whole)

    def outdo(self, served: str) -> None:
        """Have a revision that is newer than the one with the text `served`, and stands for the same table."""
        self._revision = self._revision.found(served).next()
        for hub, table in self._tables.items():
            self._marks.add(self._revision.number, hub, table.revision, form_of(table.options.policy))
        self.journal.record(self._revision, {}, is_whole=False)

    def served(self, revision: str) -> dict[str, tuple[str, str]]:
        """Revision and form of each hub's table in our revision with this text; none for a revision of others."""
        found = Revision.read(revision)
        return self._marks.at(found.number) if found.writer == self._revision.writer else {}
