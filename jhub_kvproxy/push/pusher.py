"""Pushes the table to the plugin of each replica, and takes its answer for what it serves."""

from __future__ import annotations

from typing import Any

import aiohttp

from ..aio import Backoff, in_thread, rest
from ..errors import BackendError, TraefikError
from ..routing.policy import Policy
from ..routing.revision import Revision
from ..store.lease import Lease
from ..store.writer import Writer
from . import plugin
from .journal import Journal
from .keepers import Keepers
from .readiness import Readiness
from .replica import Replica
from .wire import Message, Served

# Seconds between questions: to one that is up, whose Traefik may have been started again; to one that does not
# answer, and may just be starting; and to one that has another hub's table.
_INTERVAL, _FIRST_PAUSE, _LONGEST_PAUSE, _REFUSED_PAUSE = 0.5, 0.05, 0.2, 5.0
# A message with more routes is made in a thread.
_FEW = 100


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
        self._journal = journal
        self._policy = policy
        self._owns_replicas = owns_replicas
        self._writer = writer
        self._lease = lease
        #: What each replica answered last.
        self.answers: dict[Replica, plugin.Answer] = {}

    async def _keep(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        try:
            while True:
                try:
                    await self._bring_up(replica, session)
                except TraefikError as error:
                    self.answers.pop(replica, None)
                    self._readiness.failed(replica, str(error))
                    await backoff.rest()  # what is new does not make it answer
                else:
                    backoff.reset()
                    await rest(_REFUSED_PAUSE if replica.refusal else _INTERVAL, self._journal.news)
        finally:
            self.answers.pop(replica, None)

    def _may_push(self, served: Served) -> bool:
        """Whether a table may be sent to a replica that serves this."""
        if self._owns_replicas or self._lease.is_held:
            return True
        return not served.revision and not self._lease.is_anothers

    async def _bring_up(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        """Have `replica` serve the newest revision, if it can be had to. Raises TraefikError."""
        answer = self.answers.get(replica)
        if answer is None:
            # It may have come back as another version.
            await self._check_version(replica, session)
        if (
            answer is None
            or answer.served == self._journal.goal
            or replica.refusal
            or not self._may_push(answer.served)
        ):
            answer = await plugin.ask(replica.api, session)
        if self._must_outdo(answer.served):
            try:
                await self._writer.outdo(answer.served.revision)
            except BackendError as error:
                self._log.warning("The table cannot take the place of that in Traefik now. %s", error)
        self._took(replica, answer)
        served: Served | None = answer.served
        while (
            (message := self._journal.message(served))
            and self._may_push(answer.served)
            and not self._is_newer(answer.served)
        ):
            try:
                answer = await plugin.send(replica.api, session, message.method, await self._body(message))
            except plugin.RouteRefused as error:
                if self._journal.refuse(error.key, str(error)):
                    self._log.error("%s. The route is left out; all others are served.", error)
                elif not self._journal.leaves_out(error.key):  # by what another replica has said meanwhile
                    raise
                continue
            self._took(replica, answer)
            if answer.refusal and not message.since and not self._is_newer(answer.served):
                raise TraefikError(f"The plugin in Traefik at {replica.api.name} takes no table: {answer.refusal}")
            # What is refused as a change is sent as a whole.
            served = None if answer.refusal else answer.served

    def _took(self, replica: Replica, answer: plugin.Answer) -> None:
        self.answers[replica] = answer
        goal = self._journal.goal
        newer = self._is_newer(answer.served)
        if newer and not replica.refusal:
            self._log.warning(
                "Traefik at %s has a newer table, of another hub (revision %s), and does not take ours (%s). "
                "Each Traefik serves one hub: look at KVProxy.traefik_api_urls of both.",
                replica.api.name,
                answer.served.revision,
                goal.revision,
            )
        replica.refusal = "the newer table of another hub" if newer else ""
        # What was made by other options is not our table, whatever its revision.
        serves = answer.served.revision if answer.served.form == goal.form else None
        self._readiness.answered(replica, serves or None)

    def _is_newer(self, served: Served) -> bool:
        """Whether what a replica serves is newer than what it is to serve."""
        goal = self._journal.goal
        return bool(goal.revision and served.revision and _rank(served.revision) > _rank(goal.revision))

    def _must_outdo(self, served: Served) -> bool:
        ours, theirs = Revision.read(self._journal.goal.revision), Revision.read(served.revision)
        is_of_the_same_writer = (ours.term, ours.writer) == (theirs.term, theirs.writer)
        return self._is_newer(served) and self._may_push(served) and (self._owns_replicas or is_of_the_same_writer)

    async def _body(self, message: Message) -> bytes:
        if len(message.put) > _FEW:
            return await in_thread(message.body, self._policy)
        return message.body(self._policy)


def _rank(revision: str) -> tuple[int, str, int]:
    return Revision.read(revision).rank
