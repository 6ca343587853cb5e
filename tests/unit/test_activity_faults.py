"""Knowing when routes were used, while the kernel, name servers and agents answer badly."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from functools import partial

import pytest
from aiohttp import web

from jhub_kvproxy import resolver
from jhub_kvproxy.activity.clock import NEVER
from jhub_kvproxy.activity.remote import Remote, idle_times
from jhub_kvproxy.activity.sockets import ClosedConnections, peer_of
from jhub_kvproxy.activity.targets import Targets
from jhub_kvproxy.activity.uses import Uses
from jhub_kvproxy.agents.client import AgentAPI
from jhub_kvproxy.traefik.discovery import Discovery
from tests.hub import until
from tests.servers import Client, user_server

LOG = logging.getLogger("activity")
TARGET = "http://10.0.0.1:8888"


def found_at(url):
    """What makes what finds the agent at `url`."""
    return lambda: Discovery([url], partial(AgentAPI, token="token"), LOG)


@asynccontextmanager
async def agent(body):
    async def answer(_):
        return web.Response(body=body)

    app = web.Application()
    app.router.add_post("/activity", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "body",
    [b"", b"Hello", b"\xff", b"null", b"[]", b"[" * 100_000, b"1", b'"x"']
    + [json.dumps({TARGET: value}).encode() for value in (None, "1", [1], {}, float("nan"), float("-inf"), True)],
    ids=lambda body: body[:40].decode(errors="replace"),
)
async def test_an_agent_that_answers_nonsense_is_named_and_not_believed(body, caplog):
    async with agent(body) as url:
        remote = Remote(found_at(url), LOG)
        remote.start()
        await remote.refresh([TARGET])
        assert remote.last(TARGET) == NEVER
        assert (
            f"The activity of one Traefik is not known. The agent at {url} does not answer as an agent does"
            in caplog.text
        )


def test_the_clock_of_an_agent_may_be_set_back():
    assert idle_times(json.dumps({TARGET: -3600, "b": 2}).encode()) == {TARGET: 0.0, "b": 2.0}


async def test_an_agent_with_a_name_that_cannot_be_one_is_named(caplog):
    url = f"http://{'a' * 64}.test:8098"
    remote = Remote(found_at(url), LOG)
    remote.start()
    await remote.refresh([TARGET])
    assert f"The activity of one Traefik is not known. The agent at {url} cannot be reached" in caplog.text


async def test_closed_connections_are_heard_of_after_a_fault(monkeypatch, caplog):
    news, faults = ClosedConnections.news, []

    def faulty(*arguments):
        if not faults:
            faults.append(True)
            raise OSError("a fault of the kernel")
        return news(*arguments)

    monkeypatch.setattr(ClosedConnections, "news", faulty)
    uses = Uses(None, LOG)
    uses.start()
    try:
        async with user_server("a") as url:
            uses.watch(url)

            async def is_heard_of():
                client = Client(int(url.rpartition(":")[2]))
                await client.server("/")
                await client.close()
                return uses.last(url) > NEVER

            await until(is_heard_of, "it hears no more")
        assert "a fault of the kernel" in caplog.text
    finally:
        await uses.close()


async def test_a_target_that_is_none_keeps_no_other_from_being_looked_up(monkeypatch):
    async def lookup(_):
        return ["10.0.0.2"]

    monkeypatch.setattr("jhub_kvproxy.activity.targets.lookup", lookup, raising=False)
    targets = Targets()
    named = "http://server.test:8888"
    with pytest.raises((ValueError, LookupError)):
        targets.learn([named, "ftp://x"])
    assert targets.learn([named]) == [named]
    await targets.look_up(named)
    assert targets.peers(named) == {peer_of("10.0.0.2", 8888)}


async def test_a_name_server_that_does_not_answer_is_not_waited_for(silent_names, monkeypatch):
    monkeypatch.setattr(resolver, "_PATIENCE", 0.1)
    targets = Targets()
    named = "http://server.test:8888"
    assert targets.learn([named]) == [named]
    await asyncio.wait_for(targets.look_up(named), 30)
    assert not targets.peers(named)
