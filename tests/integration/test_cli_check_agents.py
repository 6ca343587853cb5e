"""``jhub-kvproxy check`` of a hub whose Traefiks have agents; these agents are stand-ins."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import textwrap

import pytest
from aiohttp import web
from traitlets.config import Config

from jhub_kvproxy.agent.agent_file import read_configuration
from jhub_kvproxy.agent.configuration import configured
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


async def test_routes_that_an_agent_refuses_are_named(tmp_path, revision):
    refused = {f"/user/{number}/": "it is of another hub." for number in range(7)}
    _, result = await check(tmp_path, State("1", revision, traefik="3.7.15", refused=refused), "--json")
    assert result.status == 1
    assert result.json["replicas"][0]["serves_table"]
    last = result.json["steps"][-1]
    assert last["status"] == "FAILED"
    assert "serves this table without 7 of its routes. /user/0/: it is of another hub; /user/1/" in last["text"]
    assert last["text"].count("another hub") == 5


async def test_what_each_machine_needs_is_shown_and_an_agent_understands_it(tmp_path, revision, monkeypatch):
    (tmp_path / "jupyterhub_config.py").write_text(
        """
c.JupyterHub.bind_url = "http://:9000"
c.JupyterHub.cleanup_proxy = False
c.KVProxy.timeout = 1800
c.KVProxy.request_headers = {"X-A": "b"}
c.KVProxy.agent_token = "s3cret"
c.KVProxy.ready_timeout = 1
"""
    )
    _, result = await check(tmp_path, State("1", revision, traefik="3.7.15"), token="s3cret")
    assert "s3cret" not in result.out
    needs = result.out.partition("Each machine with a Traefik needs an agent")[2]
    assert "    jhub-kvproxy agent --config agent.toml --traefik\n" in needs
    assert "    KVPROXY_AGENT_TOKEN\n" in needs
    [table] = re.findall(r"^    \[KVProxy\]\n(?:    .*\n|\n(?=    \[))*", needs, re.MULTILINE)
    (tmp_path / "agent.toml").write_text(textwrap.dedent(table))
    monkeypatch.setenv("KVPROXY_AGENT_TOKEN", TOKEN)
    chosen = configured(read_configuration(str(tmp_path / "agent.toml"), []), logging.getLogger())
    assert chosen.settings.hubs == ("jupyterhub",)
    assert chosen.traefik.public_url == "http://:9000"
    assert chosen.traefik.limits.timeout == 1800
    assert chosen.traefik.request_headers == {"X-A": "b"}
    assert isinstance(chosen.backends["jupyterhub"], TomlBackend)


async def test_the_secrets_of_the_store_are_named_only(tmp_path):
    words = ["--KVProxy.backend_class=etcd", "--EtcdBackend.urls=http://127.0.0.1:1", "--EtcdBackend.timeout=0.2"]
    words += ["--EtcdBackend.username=hub", "--EtcdBackend.password=s3cret"]
    _, result = await check(tmp_path, State("1"), *words)
    assert "s3cret" not in result.out
    assert '    username = "hub"\n' in result.out
    assert "    KVPROXY_ETCD_PASSWORD\n" in result.out
