"""What the agent tells hubs and people: the state of each hub's table, and who waits for the next one."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..agents.protocol import LONGEST_WAIT, State
from ..aio import rest
from ..words import counted
from .follower import Follower
from .merged import Merged
from .traefik_feed import TraefikFeed


@dataclass(frozen=True, slots=True)
class Condition:
    """One hub's table in one line, and whether Traefik serves it."""

    is_served: bool
    line: str


class States:
    """Reads the state of each hub's table from the parts that know it; :meth:`changed` wakes those who wait."""

    def __init__(self, followers: Mapping[str, Follower], merged: Merged, feed: TraefikFeed) -> None:
        self._followers = followers
        self._merged = merged
        self._feed = feed
        self._life = secrets.token_hex(4)
        self._number = 0
        self._news = asyncio.Event()
        #: Whether the agent ends, so that load balancers send users elsewhere.
        self.is_ending = False

    @property
    def hubs(self) -> list[str]:
        return list(self._followers)

    def changed(self) -> None:
        """Something is another than before."""
        self._number += 1
        self._news.set()
        self._news = asyncio.Event()

    def state(self, hub: str) -> State:
        answer = self._feed.answer
        revision, form = self._served().get(hub, ("", ""))
        refused = self._refused(hub)
        return State(
            tag=self._tag,
            revision=revision,
            form=form,
            trouble=self._feed.trouble,
            refused=refused,
            routes=len(self._followers[hub].table.routes) - len(refused),
            requests=answer.requests if answer else {},
            traefik=self._feed.version,
            age=answer.age if answer else None,
        )

    async def next_state(self, hub: str, seen: str) -> State:
        """The state as soon as its tag is another than `seen`, or after a while."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LONGEST_WAIT
        while seen == self._tag and (left := deadline - loop.time()) > 0:
            await rest(left, self._news)
        return self.state(hub)

    def condition(self, hub: str) -> Condition:
        follower, traefik = self._followers[hub], f"Traefik {self._feed.version} at {self._feed.api.name}".strip()
        revision, state = self._served().get(hub, ("", ""))[0], self.state(hub)
        is_kept = self._feed.keeps_earlier
        is_served = (bool(revision) or is_kept) and not self._feed.trouble
        refused = f", but {len(state.refused)} that it refuses" if state.refused else ""
        if is_kept:
            line = f"{traefik} keeps what an earlier agent or hub has given it."
        elif is_served:
            routes = counted(state.routes, "route")
            line = f"{traefik} serves revision {revision} of {hub!r}: {routes}{refused}."
        elif self._feed.trouble:
            line = f"{hub!r} is not served. {self._feed.trouble}"
        else:
            line = f"{traefik} serves no table of {hub!r} yet."
        if follower.trouble:
            since, why = follower.trouble
            line += f" Not known to be up to date since {time.strftime('%F %T UTC', time.gmtime(since))}: {why}"
        return Condition(is_served, line)

    def is_ready(self, hubs: list[str]) -> bool:
        """Whether users should be sent here."""
        return not self.is_ending and self.serves(hubs)

    def serves(self, hubs: list[str]) -> bool:
        """Whether Traefik serves what is known of `hubs`, and of one of them at least, or keeps what it had before."""
        known = [hub for hub in hubs if self._followers[hub].table.revision or self._feed.keeps_earlier]
        return bool(known) and all(self.condition(hub).is_served for hub in known)

    def described(self) -> dict[str, Any]:
        """All of it as an object for JSON."""
        hubs = {}
        for hub, follower in self._followers.items():
            state, condition = self.state(hub), self.condition(hub)
            since, why = follower.trouble or (None, "")
            hubs[hub] = {
                "served": condition.is_served,
                "condition": condition.line,
                "revision": state.revision,
                "known_revision": follower.table.revision,
                "routes": state.routes,
                "refused": state.refused,
                "store_trouble": why,
                "store_trouble_since": since,
            }
        return {
            "traefik": {"url": self._feed.api.name, "version": self._feed.version, "trouble": self._feed.trouble},
            "ready": self.is_ready(self.hubs),
            "hubs": hubs,
        }

    @property
    def _tag(self) -> str:
        return f"{self._life}.{self._number}"

    def _served(self) -> dict[str, tuple[str, str]]:
        answer = self._feed.answer
        return self._merged.served(answer.served.revision) if answer else {}

    def _refused(self, hub: str) -> dict[str, str]:
        refused = self._merged.fleet.refused(hub)
        for route, why in self._merged.journal.refused:
            if self._merged.fleet.owner(route.name) == hub:
                refused[route.routespec] = why
        return refused
