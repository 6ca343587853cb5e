"""Agents in this process, with a Traefik that others start."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from jhub_kvproxy import Backend, Batch
from jhub_kvproxy.agent.agent import Agent
from jhub_kvproxy.agent.settings import AgentSettings
from jhub_kvproxy.agents.protocol import State, credential
from jhub_kvproxy.routing.hub_options import HUB_OPTIONS, HubOptions
from jhub_kvproxy.routing.records import RECORDS, REVISION, SUM, is_summed, sum_of, sum_text
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.traefik.api import TraefikAPI
from servers.ports import free_port

TOKEN = "a-token-of-agents"


class Asking:
    """Asks the agent at `port` as a hub does."""

    def __init__(self, port: int, session: aiohttp.ClientSession, hub: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._session = session
        self._hub = hub

    async def state(self, seen: str = "", hub: str = "", token: str = TOKEN) -> State:
        """Raises AssertionError with the agent's words if it refuses."""
        query = {"hub": hub or self._hub, "seen": seen}
        async with self._session.get(f"{self.url}/revision", params=query, headers=credential(token)) as answer:
            body = await answer.read()
            assert answer.status == 200, body.decode()
        return State.from_json(body)

    async def until(self, revision: str, hub: str = "") -> State:
        """The state once Traefik serves this revision of the hub's table."""
        state = await self.state(hub=hub)
        while state.revision != revision:
            state = await self.state(state.tag, hub)
        return state

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        async with self._session.get(self.url + path, **{"headers": credential(TOKEN), **options}) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def agent_for(
    backends: dict[str, Backend], api_url: str, password: str = "", *, cache: str = ""
) -> AsyncIterator[tuple[Agent, Asking]]:
    """An agent for the hubs of `backends`, beside the Traefik with this API, and who asks about the first of them."""
    settings = AgentSettings(hubs=tuple(backends), token=TOKEN, port=free_port(), cache=cache)
    agent = Agent(settings, backends, TraefikAPI(api_url, "kvproxy", password), logging.getLogger("agent"))
    await agent.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield agent, Asking(settings.port, session, next(iter(backends)))
    finally:
        await agent.close()


class Writing:
    """Writes tables as a hub does."""

    def __init__(self, backend: Backend, term: int = 1, writer: str = "w", options: HubOptions | None = None) -> None:
        self.backend = backend
        self.number = 0
        self._head = f"{term:x}-{writer}"
        self.keys = {HUB_OPTIONS: options.to_record()} if options else {}

    @property
    def revision(self) -> str:
        return f"{self._head}.{self.number}"

    async def put(self, targets: dict[str, str | None]) -> str:
        """Have these routes, by routespec; None: have it no more. Returns the new revision."""
        self.number += 1
        changes: dict[str, str | None] = {REVISION: self.revision}
        for routespec, target in targets.items():
            route = Route(routespec, target or "http://127.0.0.1:1", {})
            changes[RECORDS + route.name] = route.to_record() if target else None
        if self.number == 1:
            changes |= self.keys
            found = (await self.backend.load()).keys
            self.keys = {key: value for key, value in found.items() if is_summed(key)}
        for key, value in changes.items():
            if value is None:
                self.keys.pop(key, None)
            elif is_summed(key):
                self.keys[key] = value
        changes[SUM] = sum_text(sum_of(self.keys))
        await self.backend.apply(Batch(changes))
        return self.revision
