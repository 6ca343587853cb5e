"""Pushes the table to the plugin of each replica, and tells the readiness what it serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

from ..aio import Backoff, rest
from ..errors import BackendError, TraefikError
from ..routing.policy import Policy
from ..routing.revision import Revision
from ..store.lease import Lease
from ..store.writer import Writer
from .feed import Feed
from .journal import Journal
from .keepers import Keepers
from .plugin import Answer
from .readiness import Readiness
from .replica import Replica
from .wire import Served

# Seconds between questions: to one that is up, whose Traefik may have been started again; to one that does not
# answer, and may just be starting; and to one that has another hub's table.
_INTERVAL, _FIRST_PAUSE, _LONGEST_PAUSE, _REFUSED_PAUSE = 0.5, 0.05, 0.2, 5.0


class Pusher(Keepers):
    """Brings each replica to the newest revision of the `journal`, and tells the `readiness` of each step.

    With `owns_replicas`, nobody else tells them anything, and a table that is newer than ours is outdone: the `writer`
    commits a revision that is newer still. Otherwise a replica that serves a newer table is another hub's, and is left
    alone; unless that is a later revision of the very writer whose work the store has, and so has lost.

    While the `lease` of replicas that are not our own is not held, another hub may be the writer. Then replicas are
    asked, and only those that serve nothing are sent our table, unless the store says that another has the lease. If
    it has, but we cannot know, its table takes the place of ours there, since its term is later.
    """

    def __init__(
        self,
        readiness: Readiness,
        journal: Journal,
        policy: Policy,
        writer: Writer,
        lease: Lease,
        log: Any,
        *,
        owns_replicas: bool,
    ) -> None:
        super().__init__(readiness, log)
        self.readiness = readiness
        self.journal = journal
        self._policy = policy
        self._owns_replicas = owns_replicas
        self._writer = writer
        self._lease = lease
        self._feeds: dict[Replica, _ReplicaFeed] = {}

    @property
    def answers(self) -> Mapping[Replica, Answer]:
        """What each replica answered last."""
        return {replica: feed.answer for replica, feed in self._feeds.items() if feed.answer}

    def may_push(self, served: Served) -> bool:
        """Whether a table may be sent to a replica that serves this."""
        if self._owns_replicas or self._lease.is_held:
            return True
        return not served.revision and not self._lease.is_anothers

    async def outdo(self, served: Served) -> None:
        """Have the writer commit a revision newer than `served`, if that is ours to outdo."""
        ours, theirs = Revision.read(self.journal.goal.revision), Revision.read(served.revision)
        is_of_the_same_writer = (ours.term, ours.writer) == (theirs.term, theirs.writer)
        if self.may_push(served) and (self._owns_replicas or is_of_the_same_writer):
            try:
                await self._writer.outdo(served.revision)
            except BackendError as error:
                self._log.warning("The table cannot take the place of that in Traefik now. %s", error)

    async def _keep(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        feed = self._feeds[replica] = _ReplicaFeed(replica, self, lambda _: self._policy, self._log)
        try:
            while True:
                try:
                    if feed.answer is None:
                        # It may have come back as another version.
                        await self._check_version(replica, session)
                    await feed.bring_up(session)
                except TraefikError as error:
                    self._readiness.failed(replica, str(error))
                    await backoff.rest()  # what is new does not make it answer
                else:
                    backoff.reset()
                    await rest(_REFUSED_PAUSE if replica.refusal else _INTERVAL, self.journal.news)
        finally:
            del self._feeds[replica]


class _ReplicaFeed(Feed):
    def __init__(self, replica: Replica, pusher: Pusher, policy_of: Any, log: Any) -> None:
        super().__init__(replica.api, pusher.journal, policy_of, log)
        self._replica = replica
        self._pusher = pusher

    def may_push(self, served: Served) -> bool:
        return self._pusher.may_push(served)

    async def outdo(self, served: Served) -> None:
        await self._pusher.outdo(served)

    def took(self, answer: Answer) -> None:
        replica, goal, newer = self._replica, self._journal.goal, self._is_newer(answer.served)
        if newer and not replica.refusal:
            self._log.warning(
                "Traefik at %s has a newer table, of another hub or of an agent (revision %s), and does not take ours "
                "(%s). Only one may push to a Traefik: end the agent beside it, or take it out of "
                "KVProxy.traefik_api_urls of one hub; then restart the hub that is to have it.",
                replica.api.name,
                answer.served.revision,
                goal.revision,
            )
        replica.refusal = "the newer table of another hub or agent" if newer else ""
        # What was made by other options is not our table, whatever its revision.
        serves = answer.served.revision if answer.served.form == goal.form else None
        self._pusher.readiness.answered(replica, serves or None)
