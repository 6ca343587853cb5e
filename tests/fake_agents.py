"""A fake of the agents: it speaks their protocol, and claims to serve whatever the store in memory holds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import ssl
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

from jhub_kvproxy.agents.protocol import ACTIVITY, LONGEST_WAIT, REVISION, State, credential
from jhub_kvproxy.push.wire import form_of
from jhub_kvproxy.routing.hub_options import HUB_OPTIONS, HubOptions
from jhub_kvproxy.routing.records import RECORDS, revision_in
from tests.servers import serving

TOKEN = "the token of the agents"
_TICK = 0.01


class FakeAgent:
    """Fake: the real agent has a store and a Traefik of its own.

    It follows `keys`, those of the hub with `prefix`, unless it `lags`. While it `is_frozen` it answers nothing, and
    when it `cuts`, it closes connections on which it waits for news. `asked` has all queries that came.
    """

    def __init__(self, keys: dict[str, str], prefix: str, *, token: str = TOKEN) -> None:
        self.keys = keys
        self.asked: list[dict[str, str]] = []
        self.refused: dict[str, str] = {}
        self.ages: dict[str, float] = {}
        self.trouble, self.traefik = "", "3.7.99"
        self.is_frozen = self.cuts = False
        self.url = ""
        self._prefix = prefix
        self._token = token
        self._life = ""
        self._kept: dict[str, str] | None = None
        self._server = AsyncExitStack()

    @property
    def waits(self) -> int:
        """How many questions that waited for news came."""
        return sum("seen" in query for query in self.asked)

    @property
    def asked_at_once(self) -> int:
        """How many others came."""
        return len(self.asked) - self.waits

    async def start(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> str:
        """Its URL. A second start is another life of it."""
        self._life = secrets.token_hex(4)
        self.url = await self._server.enter_async_context(serving(self._answer, tls, host=host, port=port))
        return self.url

    async def close(self) -> None:
        await self._server.aclose()

    @property
    def lags(self) -> bool:
        return self._kept is not None

    @lags.setter
    def lags(self, value: bool) -> None:
        self._kept = dict(self.keys) if value else None

    def state(self) -> State:
        keys = self.keys if self._kept is None else self._kept
        told: dict[str, Any] = {
            "revision": revision_in(keys),
            "form": form_of(HubOptions.from_record(keys[HUB_OPTIONS]).policy) if HUB_OPTIONS in keys else "",
            "trouble": self.trouble,
            "refused": dict(self.refused),
            "routes": sum(key.startswith(RECORDS) for key in keys),
            "requests": {"user": 7},
            "traefik": self.traefik,
        }
        return State(hashlib.sha256(json.dumps([self._life, told]).encode()).hexdigest(), **told)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.asked.append(query)
        while self.is_frozen:
            await asyncio.sleep(_TICK)
        if request.headers.get("Authorization") != credential(self._token)["Authorization"]:
            return web.Response(status=401)
        if query.get("hub") != self._prefix:
            return web.json_response({"error": f"This agent follows no {query.get('hub')!r}."}, status=404)
        if request.path == ACTIVITY:
            return web.json_response({"ages": self.ages})
        assert request.path == REVISION
        ends = asyncio.get_running_loop().time() + LONGEST_WAIT
        while (state := self.state()).tag == query.get("seen") and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(_TICK)
            while self.is_frozen:
                await asyncio.sleep(_TICK)
            if self.cuts and request.transport:
                request.transport.close()
        return web.Response(text=state.to_json(), content_type="application/json")
