"""Pushes the table to the plugin of each replica, and takes its answer for what it serves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import aiohttp

from ..errors import TraefikError
from ..keepers import Keepers
from ..readiness import Readiness
from ..replica import Replica
from ..revision import Revision
from ..serving import Serving
from . import plugin
from .journal import Journal
from .wire import Message

# Seconds between questions: to one that is up, whose Traefik may have been started again; to one that does not
# answer, and may just be starting; and to one that has another hub's table.
_INTERVAL, _FIRST_PAUSE, _LONGEST_PAUSE, _REFUSED_PAUSE = 0.5, 0.05, 1.0, 5.0
# A message with more routes is made in a thread.
_FEW = 100


class Pusher(Keepers):
    """Brings each replica to the newest revision of the `journal`, and tells the `readiness` of each step.

    While `may_push` says no, because another hub may be the writer, replicas are asked and told nothing.
    """

    def __init__(
        self, readiness: Readiness, journal: Journal, serving: Serving, may_push: Callable[[], bool], log: Any
    ) -> None:
        super().__init__(log)
        self._readiness = readiness
        self._journal = journal
        self._serving = serving
        self._may_push = may_push
        #: What each replica answered last.
        self.answers: dict[Replica, plugin.Answer] = {}

    async def _keep(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        pause = _FIRST_PAUSE
        try:
            while True:
                try:
                    await self._bring_up(replica, session)
                    rest, pause = _REFUSED_PAUSE if replica.refusal else _INTERVAL, _FIRST_PAUSE
                    news = self._journal.news
                except TraefikError as error:
                    self.answers.pop(replica, None)
                    self._readiness.failed(replica, str(error))
                    # What is new does not make it answer.
                    rest, pause, news = pause, min(pause * 2, _LONGEST_PAUSE), asyncio.Event()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest):
                        await news.wait()
        finally:
            self.answers.pop(replica, None)

    async def _bring_up(self, replica: Replica, session: aiohttp.ClientSession) -> None:
        """Have `replica` serve the newest revision, if it can be had to. Raises TraefikError."""
        answer = self.answers.get(replica)
        if answer is None:
            # It may have come back as another version.
            await self._check_version(replica, session)
        if answer is None or answer.served == self._journal.goal:
            answer = await plugin.ask(replica.api, session)
        while True:
            self._took(replica, answer)
            message = self._journal.message(answer.served)
            if message is None or not self._may_push() or _is_newer(answer, message):
                return
            answer = await plugin.send(replica.api, session, message.method, await self._body(message))
            if answer.refusal and not (message.since or _is_newer(answer, message)):
                raise TraefikError(f"The plugin in Traefik at {replica.api.name} takes no table: {answer.refusal}")

    def _took(self, replica: Replica, answer: plugin.Answer) -> None:
        self.answers[replica] = answer
        goal = self._journal.goal
        newer = goal.revision and answer.served.revision and _rank(answer.served.revision) > _rank(goal.revision)
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

    async def _body(self, message: Message) -> bytes:
        if len(message.put) > _FEW:
            return await asyncio.to_thread(message.body, self._serving)
        return message.body(self._serving)


def _is_newer(answer: plugin.Answer, message: Message) -> bool:
    return _rank(answer.served.revision) > _rank(message.goal.revision)


def _rank(revision: str) -> tuple[int, str, int]:
    return Revision.read(revision).rank
