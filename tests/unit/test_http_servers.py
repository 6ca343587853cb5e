"""HTTP with failover, as the drivers for etcd and Consul use it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from jhub_kvproxy import BackendUnavailable
from jhub_kvproxy_backends._network import HTTPServers


@asynccontextmanager
async def serving(handler):
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("again", [True, False])
async def test_a_question_under_way_ends_when_its_servers_are_closed(again):
    """It opens no new connection, which nobody would close."""
    asked = asyncio.Queue()

    async def never(request):
        asked.put_nowait(request.path)
        await asyncio.sleep(60)

    async with serving(never) as url:
        servers = HTTPServers("etcd", [url], timeout=60, tls=None)
        asking = asyncio.create_task(servers.ask("GET", "/x", again=again))
        await asked.get()
        await servers.close()
        await servers.close()
        with pytest.raises(BackendUnavailable):
            await asking
        with pytest.raises(BackendUnavailable, match="The connections to etcd are closed"):
            await servers.ask("GET", "/x", again=again)
        assert asked.empty()


async def test_what_is_transient_is_asked_again():
    answers = iter([503, 503, 200])

    async def answer(_):
        return web.Response(status=next(answers))

    async with serving(answer) as url:
        servers = HTTPServers("etcd", [url], timeout=60, tls=None)
        found = await servers.ask("GET", "/x", again=True, is_transient=lambda answer: answer.status == 503)
        assert found.status == 200
        await servers.close()
