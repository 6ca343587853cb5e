"""Brings the plugin in one Traefik to the newest revision of a journal, and takes its answer for what it serves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import aiohttp

from ..aio import in_thread
from ..errors import TraefikError
from ..routing.policy import Policy
from ..routing.revision import Revision
from ..routing.routes import Route
from ..traefik.endpoint import Endpoint
from . import plugin
from .journal import Journal
from .wire import Message, Served

# A message with more routes is made in a thread.
_FEW = 100


class Feed(ABC):
    """What is known of one plugin, and what is sent to it. One call at a time.

    `policy_of` says what a route's hub makes of it.
    """

    def __init__(self, api: Endpoint, journal: Journal, policy_of: Callable[[Route], Policy], log: Any) -> None:
        self.api = api
        #: What the plugin answered last; None: nothing, or it does not answer.
        self.answer: plugin.Answer | None = None
        self._journal = journal
        self._policy_of = policy_of
        self._log = log

    @property
    def is_refused(self) -> bool:
        """Whether the plugin has a newer table than we do, and so does not take ours."""
        return self.answer is not None and self._is_newer(self.answer.served)

    @abstractmethod
    def may_push(self, served: Served) -> bool:
        """Whether anything may be sent to a plugin that serves this."""

    @abstractmethod
    async def outdo(self, served: Served) -> None:
        """The plugin serves something newer than the goal: have a goal that is newer still, if that is right."""

    @abstractmethod
    def took(self, answer: plugin.Answer) -> None:
        """This is what the plugin serves now."""

    async def bring_up(self, session: aiohttp.ClientSession) -> None:
        """Have the plugin serve the newest revision, if it can be had to. Raises TraefikError."""
        try:
            await self._bring_up(session)
        except TraefikError:
            self.answer = None
            raise

    async def _bring_up(self, session: aiohttp.ClientSession) -> None:
        answer = self.answer
        if answer is None or not self._is_behind(answer.served) or not self.may_push(answer.served):
            answer = await plugin.ask(self.api, session)
        if self._is_newer(answer.served):
            await self.outdo(answer.served)
        self._took(answer)
        served: Served | None = answer.served
        while self._is_behind(answer.served) and self.may_push(answer.served):
            message = self._journal.message(served)
            if message is None:
                break
            try:
                answer = await plugin.send(self.api, session, message.method, await self._body(message))
            except plugin.RouteRefused as error:
                if self._journal.refuse(error.key, str(error)):
                    self._log.error("%s. The route is left out; all others are served.", error)
                elif not self._journal.leaves_out(error.key):  # by what another replica has said meanwhile
                    raise
                continue
            self._took(answer)
            if answer.refusal and not message.since and not self._is_newer(answer.served):
                raise TraefikError(f"The plugin in Traefik at {self.api.name} takes no table: {answer.refusal}")
            # What is refused as a change is sent as a whole.
            served = None if answer.refusal else answer.served

    def _took(self, answer: plugin.Answer) -> None:
        self.answer = answer
        self.took(answer)

    def _is_behind(self, served: Served) -> bool:
        """Whether the plugin lacks something that it may be sent."""
        goal = self._journal.goal
        return bool(goal.revision) and served != goal and not self._is_newer(served)

    def _is_newer(self, served: Served) -> bool:
        """Whether what the plugin serves is newer than what it is to serve."""
        goal = self._journal.goal
        return bool(goal.revision and served.revision and _rank(served.revision) > _rank(goal.revision))

    async def _body(self, message: Message) -> bytes:
        if len(message.put) > _FEW:
            return await in_thread(message.body, self._policy_of)
        return message.body(self._policy_of)


def _rank(revision: str) -> tuple[int, str, int]:
    return Revision.read(revision).rank
