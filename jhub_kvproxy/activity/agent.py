"""Tells the hub when targets were used. It runs beside a Traefik in another network than the hub's."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from typing import Any

from aiohttp import web

from ..aio import in_thread
from .clock import NEVER, steady
from .remote import PATH
from .uses import Uses

# 5000 targets are a quarter of a megabyte.
_MAX_BODY = 1 << 24


class Agent:
    """Answers ``POST /activity``. The body is a list of targets, the answer the seconds since each was used.

    A target that was not used since the agent was first asked about it is left out.
    """

    def __init__(self, token: str, log: Any) -> None:
        self._expected = f"token {token}".encode()
        self._uses = Uses(None, log)
        self._asking = asyncio.Lock()
        self._runner: web.AppRunner | None = None

    async def start(self, ip: str, port: int) -> None:
        """Raises OSError when it cannot listen there, and :class:`~jhub_kvproxy.errors.KVProxyError`."""
        self._uses.start()
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_post(PATH, self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, ip, port).start()

    async def close(self) -> None:
        try:
            if self._runner:
                await self._runner.cleanup()
        finally:
            await self._uses.close()

    async def _answer(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, self._expected):
            return web.Response(status=403)
        try:
            targets = await in_thread(_targets, await request.read())
            async with self._asking:
                await self._uses.refresh(targets)
        except (ValueError, web.RequestPayloadError):
            return web.Response(status=400)
        now = steady()
        idle = {target: round(max(0.0, now - at), 3) for target in targets if (at := self._uses.last(target)) != NEVER}
        return web.json_response(idle)


def _targets(body: bytes) -> set[str]:
    """Raises ValueError when `body` is no list of texts."""
    try:
        targets = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        raise ValueError("not a list of targets")
    return set(targets)


async def serve(ip: str, port: int, token: str) -> None:
    """Run an agent until the task is cancelled."""
    agent = Agent(token, logging.getLogger("kvproxy.activity"))
    try:
        await agent.start(ip, port)
        await asyncio.Event().wait()
    finally:
        await agent.close()
