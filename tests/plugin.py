"""What tests ask and tell the plugin in a Traefik."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import aiohttp

from jhub_kvproxy.push import plugin


@asynccontextmanager
async def told(proxy, number=0):
    """Asks or tells the plugin of a Traefik that `proxy` started, as its hub does."""
    async with aiohttp.ClientSession() as session:

        async def tell(method=None, **message):
            api = proxy.control.local.supervisors[number].api
            if method is None:
                return await plugin.ask(api, session)
            return await plugin.send(api, session, method, json.dumps(message).encode())

        yield tell
