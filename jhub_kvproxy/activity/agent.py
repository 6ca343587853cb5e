"""What runs beside a Traefik in another network than the hub's, and tells the hub when targets were used."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from typing import Any

from aiohttp import web

from .remote import PATH
from .uses import Uses

# 5000 targets are a quarter of a megabyte.
_MAX_BODY = 1 << 24


class Agent:
    """Answers ``POST /activity``, whose body is a list of targets, with the seconds since each was used.

    Those that were not used since the first question about them are left out.
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
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, ip, port).start()

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        await self._uses.close()

    async def _answer(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(given, self._expected):
            return web.Response(status=403)
        try:
            targets = {str(target) for target in await asyncio.to_thread(json.loads, await request.read())}
            async with self._asking:
                await self._uses.refresh(targets)
        except (ValueError, TypeError, LookupError):
            return web.Response(status=400)
        now = time.time()
        idle = {target: round(now - at, 3) for target in targets if (at := self._uses.last(target))}
        return web.json_response(idle)


async def serve(ip: str, port: int, token: str) -> None:
    """Run an agent until the task is cancelled."""
    agent = Agent(token, logging.getLogger("kvproxy.activity"))
    try:
        await agent.start(ip, port)
        await asyncio.Event().wait()
    finally:
        await agent.close()
