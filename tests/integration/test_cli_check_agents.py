"""``jhub-kvproxy check`` of a hub whose Traefiks have agents; these agents are stand-ins."""

from __future__ import annotations

import asyncio
import os

import pytest
from aiohttp import web
from traitlets.config import Config

from jhub_kvproxy.agents.protocol import State
from jhub_kvproxy.routing.records import revision_in
from jhub_kvproxy_backends.toml import TomlBackend
from servers.ports import free_port
from tests.command import ended, fill, start
from tests.servers import serving

TOKEN = "a-token-of-agents"


def agent(state: State):
    """Answers as one does."""

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"token {TOKEN}":
            return web.Response(status=403)
        assert request.query["hub"] == "jupyterhub"
        return web.Response(text=state.to_json())

    return answer


async def check(tmp_path, state, *words, token=TOKEN, urls=(), starts=False):
    """The result of a check of a hub with an agent that tells `state`, and of agents at `urls`."""
    async with serving(agent(state)) as url:
        options = [f"--KVProxy.agent_urls={each}" for each in (url, *urls)]
        options += [
            "--KVProxy.delivery=agent",
            f"--KVProxy.should_start={starts}",
            "--KVProxy.ready_timeout=0.5",
            *words,
        ]
        process = start("check", *options, cwd=tmp_path, env={**os.environ, "KVPROXY_AGENT_TOKEN": token})
        result = await asyncio.to_thread(ended, process)
        return url, result


@pytest.fixture
def revision(tmp_path):
    """That of the table in the store."""
    config = Config({"KVProxy": {"delivery": "push"}, "TomlBackend": {"path": str(tmp_path / "kvproxy-table")}})
    fill(config, 2)

    async def load() -> str:
        backend = TomlBackend(path=str(tmp_path / "kvproxy-table"), prefix="jupyterhub")
        await backend.open()
        try:
            return revision_in((await backend.load()).keys)
        finally:
            await backend.close()

    return asyncio.run(load())


async def test_agents_that_do_not_answer_or_want_another_token(tmp_path, revision):
    dead = f"http://127.0.0.1:{free_port()}"
    good, result = await check(tmp_path, State("1", revision, traefik="3.7.15"), "--json", urls=[dead])
    assert result.status == 1
    assert result.json["replicas"] == [
        {"url": good, "version": "3.7.15", "serves_table": True},
        {"url": dead, "version": None, "serves_table": None},
    ]
    _, result = await check(tmp_path, State("1", revision), "--json", token="another")
    assert "refuses our credential (403); look at KVProxy.agent_token" in result.json["steps"][-1]["text"]


async def test_options_that_agents_need(tmp_path, revision):
    _, result = await check(tmp_path, State("1", revision), "--json", token="")
    assert "KVPROXY_AGENT_TOKEN" in result.json["steps"][-1]["text"]
    _, result = await check(tmp_path, State("1", revision), "--json", starts=True)
    assert "KVProxy.should_start = False" in result.json["steps"][-1]["text"]
