"""When a route was used, as JupyterHub is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp

from tests.hub import until


def time_of(route):
    text = route["data"]["last_activity"]
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


async def used(proxy, spec="/user/a/"):
    return time_of((await proxy.get_all_routes())[spec])


def now():
    return datetime.now(UTC)


async def a_tick_ago():
    """A time that is before all that comes, by the kernel's clock too, which has ticks of up to 10 ms."""
    time = now()
    await asyncio.sleep(0.02)
    return time


async def later(proxy, than, spec="/user/a/"):
    await until(lambda: _is_later(proxy, than, spec), f"the use of {spec} was not seen")


async def _is_later(proxy, than, spec):
    return await used(proxy, spec) > than


@asynccontextmanager
async def websocket(site, path="/user/a/ws"):
    url = f"http://127.0.0.1:{site.port}{path}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as websocket:
        yield websocket
