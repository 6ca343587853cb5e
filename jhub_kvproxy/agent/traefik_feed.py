"""Keeps the plugin of the Traefik beside the agent up to date."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import aiohttp

from ..aio import Backoff, Tasks, rest
from ..errors import TraefikError
from ..push.feed import Feed
from ..push.plugin import Answer
from ..push.wire import AGENT_FORM, Served
from ..routing.revision import Revision
from ..traefik.api import TraefikAPI
from ..traefik.binary import advice, check_version
from .merged import Merged

# Seconds between looks at a Traefik that is up, and may have been started again, and at one that does not answer.
_INTERVAL, _FIRST_PAUSE, _LONGEST_PAUSE, _REFUSED_PAUSE = 0.5, 0.02, 0.2, 5.0
#: Seconds after which who pushed what Traefik serves, and has not pushed what we know since, counts as gone.
_SILENCE = 10.0
#: Seconds until the log tells of a Traefik that does not answer: it may just be starting.
_PATIENCE = 3.0


class TraefikFeed(Feed):
    """Feeds the Traefik with this `api`, from :meth:`start` to :meth:`close`; calls `changed` when it serves another
    table, or has a :attr:`trouble`.

    While `is_sure` says that we do not know the newest tables, a Traefik that has a table keeps it.
    """

    def __init__(
        self, api: TraefikAPI, merged: Merged, is_sure: Callable[[], bool], changed: Callable[[], None], log: Any
    ) -> None:
        super().__init__(api, merged.journal, merged.fleet.policy_of, log)
        #: Why Traefik does not serve our table, as a sentence; empty: it does, or will at once, or was not asked yet.
        self.trouble = ""
        #: Its version; empty: not known.
        self.version = ""
        self._traefik = api
        #: Whether Traefik is about to end, so that its silence is no news.
        self.expects_end = False
        self._merged = merged
        self._is_sure = is_sure
        self._changed = changed
        self._outdone: set[str] = set()
        self._gone: set[str] = set()
        #: What another has pushed, our revision when we saw it first, and since when ours is another (time.monotonic).
        self._rival: tuple[str, str, float | None] = "", "", None
        self._warned: set[str] = set()
        self._seen: tuple[Served | None, str] = None, ""
        #: When all was well last, or we began (:func:`time.monotonic`), and the trouble that the log has told of since.
        self._well_at, self._told = time.monotonic(), ""
        self._tasks = Tasks(log)

    @property
    def keeps_earlier(self) -> bool:
        """Whether Traefik has a table from before us, which it keeps until we know the newest ones, or any."""
        if self.answer is None or not self.answer.served.revision or self._is_ours(self.answer.served):
            return False
        return self._journal.revision is None or not self._is_sure()

    def start(self) -> None:
        self._tasks.keep(self._run, "looking after Traefik")

    async def close(self) -> None:
        await self._tasks.close()

    def may_push(self, served: Served) -> bool:
        return not served.revision or self._is_ours(served) or self._is_sure()

    def _is_ours(self, served: Served) -> bool:
        ours = self._journal.revision
        return ours is not None and Revision.read(served.revision).writer == ours.writer

    async def outdo(self, served: Served) -> None:
        """What another agent pushed before us, or a hub, is outdone once; who goes on pushing is left alone.

        An agent that seems to have gone since is outdone once more: not again and again, if it serves other hubs.
        """
        writer = Revision.read(served.revision).writer
        if served.form == AGENT_FORM and self._is_gone(served.revision) and writer not in self._gone:
            self._gone.add(writer)
            self._outdone.discard(writer)
        if writer not in self._outdone and self.may_push(served):
            self._outdone.add(writer)
            self._merged.outdo(served.revision)

    def _is_gone(self, pushed: str) -> bool:
        """Whether who `pushed` this has not pushed for a while, although there is something new."""
        now, ours = time.monotonic(), self._journal.goal.revision
        seen, before, since = self._rival
        if seen != pushed:
            before, since = ours, None
        elif ours != before and since is None:
            since = now
        self._rival = pushed, before, since
        return since is not None and now - since > _SILENCE

    def took(self, answer: Answer) -> None:
        self.answer = answer
        trouble = ""
        if self.is_refused and self._is_sure():
            trouble = (
                f"Another program pushes its table to Traefik at {self.api.name} (revision {answer.served.revision}), "
                "so ours is not served. Each Traefik has one agent, and no hub with KVProxy.delivery = "
                '"push".'
            )
        self._tell(answer.served, trouble)

    async def _run(self) -> None:
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    if self.answer is None:
                        self._outdone.clear()
                        self._gone.clear()
                        await self._check_version(session)
                    await self.bring_up(session)
                except TraefikError as error:
                    self.answer = None
                    text = str(error)
                    self._tell(None, text if text.endswith((".", "?")) else f"{text}.")
                    await backoff.rest()
                else:
                    backoff.reset()
                    await rest(_REFUSED_PAUSE if self.is_refused else _INTERVAL, self._journal.news)

    async def _check_version(self, session: aiohttp.ClientSession) -> None:
        self.version = await self._traefik.version(session)
        check_version(self.version, f"That at {self.api.name}")
        if (warning := advice(self.version)) and warning not in self._warned:
            self._warned.add(warning)
            self._log.warning("%s", warning)

    def _tell(self, served: Served | None, trouble: str) -> None:
        now = time.monotonic()
        if not trouble:
            self._well_at = now
            if self._told:
                self._log.warning("Traefik %s at %s takes our table again", self.version, self.api.name)
            self._told = ""
        elif trouble != self._told and now - self._well_at > _PATIENCE and not self.expects_end:
            self._log.warning("%s", trouble)
            self._told = trouble
        self.trouble = trouble
        if self._seen != (served, trouble):
            self._seen = served, trouble
            self._changed()
