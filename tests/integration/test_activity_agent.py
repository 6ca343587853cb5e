"""Agents, which tell of the use of routes through Traefiks elsewhere (``KVProxy.agent_urls``)."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from traitlets import TraitError

from jhub_kvproxy import KVProxyError
from jhub_kvproxy.activity.tracker import Activity
from jhub_kvproxy.agent.agent import ActivityAgent
from jhub_kvproxy.agent.settings import AgentSettings
from servers.ports import free_port, takes_connections
from tests.activity import a_tick_ago, later, used, websocket
from tests.hub import until
from tests.servers import serving
from tests.unit.test_activity_faults import found_at

TOKEN = "s3cret-token"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "idle-culling.md"
COMMAND = re.findall(r"^\$ jhub-kvproxy (agent .*)$", PAGE.read_text(), re.MULTILINE)[0]


def command(port):
    """As the page shows it."""
    return [
        sys.executable,
        "-m",
        "jhub_kvproxy",
        *COMMAND.replace("10.0.0.1", "127.0.0.1").replace("8098", str(port)).split(),
    ]


@asynccontextmanager
async def agent():
    """The port of an agent in a process of its own, which must end with status 0 when it is told to."""
    port = free_port()
    environ = {**os.environ, "KVPROXY_AGENT_TOKEN": TOKEN}
    process = subprocess.Popen(command(port), env=environ)
    try:
        await until(lambda: takes_connections(port), "the agent does not start")
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


async def blind(site, **traits):
    """A proxy whose own kernel tells it nothing, as if its Traefik ran elsewhere."""
    proxy = await site.started(activity=True, delivery="store", agent_token=TOKEN, **traits)
    here = proxy.control.activity._here
    here._owners = here._owners_of_closed = frozenset([os.getuid() + 1])
    return proxy


async def test_an_agent_tells_of_requests_and_of_open_websockets(site):
    async with agent() as port:
        proxy = await blind(site, agent_urls=[f"http://localhost:{port}"])
        for name in ("a", "b"):
            await proxy.add_route(f"/user/{name}/", await site.server(name), {})
        added = await used(proxy, "/user/b/")
        before = await a_tick_ago()
        assert await site.client.server("/user/a/") == "a"
        await later(proxy, before)
        async with websocket(site) as ws:
            before = await a_tick_ago()
            await ws.send_str("x")
            await ws.receive_str()
            await later(proxy, before)
        assert await used(proxy, "/user/b/") == added


async def test_the_latest_of_several_agents_counts_and_a_dead_one_is_named_once(site, caplog):
    dead = f"http://127.0.0.1:{free_port()}"
    async with agent() as port:
        proxy = await blind(site, agent_urls=[dead, f"http://127.0.0.1:{port}"])
        await proxy.add_route("/user/a/", await site.server("a"), {})
        for _ in range(2):
            before = await a_tick_ago()
            assert await site.client.server("/user/a/") == "a"
            await later(proxy, before)
        said = [each.getMessage() for each in caplog.records if dead in each.getMessage()]
        assert len(said) == 1
        assert said[0].startswith(f"The activity of one Traefik is not known. The agent at {dead} ")


async def test_an_agent_answers_nobody_else(site):
    port = free_port()
    instance = ActivityAgent(AgentSettings(hubs=("jupyterhub",), token=TOKEN, port=port), logging.getLogger())
    await instance.start()
    url = f"http://127.0.0.1:{port}/activity"
    try:
        async with aiohttp.ClientSession() as session:
            for token, body, status in (
                ("wrong", b"[]", 403),
                (TOKEN, b"[]", 200),
                (TOKEN, b"{", 400),
                (TOKEN, b"1", 400),
                (TOKEN, b"[" * 100_000, 400),
                (TOKEN, b'["ftp://x"]', 400),
            ):
                async with session.post(url, data=body, headers={"Authorization": f"token {token}"}) as answer:
                    assert answer.status == status
            headers = {"Authorization": f"token {TOKEN}", "Content-Encoding": "gzip"}
            async with session.post(url, data=b"no gzip", headers=headers) as answer:
                assert answer.status == 400
    finally:
        await instance.close()


@pytest.mark.parametrize(("answer", "why"), [(b"[1]", "does not answer as an agent"), (None, "answers 404")])
async def test_what_is_no_agent_is_named(answer, why, caplog):
    async def odd(_):
        return web.Response(body=answer) if answer else web.Response(status=404)

    async with serving(odd) as url:
        activity = Activity(None, found_at(url), logging.getLogger())
        activity.start()
        await activity.refresh({})
        await activity.close()
    assert why in caplog.text


async def test_a_hub_without_a_token_does_not_start(site, monkeypatch):
    monkeypatch.delenv("KVPROXY_AGENT_TOKEN", raising=False)
    with pytest.raises(KVProxyError, match="set KVPROXY_AGENT_TOKEN in the environment"):
        await site.proxy(activity=True, agent_urls=["http://127.0.0.1:8098"]).control.open()


async def test_a_url_that_is_none_is_refused(site):
    with pytest.raises(TraitError, match=r"write it like http://10\.0\.0\.1:8098"):
        site.proxy(activity=True, agent_urls=["10.0.0.1:8098"])
