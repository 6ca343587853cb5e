"""An agent of several hubs, whose Traefik does not answer: what it takes from each, and says of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from jhub_kvproxy.agent.agent import Agent
from jhub_kvproxy.routing.hub_options import Claim, HubOptions
from servers.ports import free_port
from tests.agents import Asking, Writing, agent_for
from tests.hub import until
from tests.hubs_in_memory import Store

TARGET = "http://127.0.0.1:1"


@pytest.fixture
async def running(request) -> AsyncIterator[tuple[Agent, Asking, Writing, Writing]]:
    """An agent of the hubs "a", at /a/, and "b", at /b/, and who writes their tables."""
    stores = {name: [Store(name=request.node.name, prefix=name) for _ in range(2)] for name in ("a", "b")}
    one, two = (Writing(stores[name][0], options=HubOptions(claim=Claim(f"/{name}/"))) for name in ("a", "b"))
    backends = {name: reading for name, (_, reading) in stores.items()}
    async with agent_for(backends, f"http://127.0.0.1:{free_port()}") as (agent, asking):
        yield agent, asking, one, two


def knows(agent: Agent, hub: str, revision: str):
    return until(lambda: agent.states.described()["hubs"][hub]["known_revision"] == revision, "it is not taken")


async def test_a_refused_route_may_go_again(running, caplog):
    agent, asking, one, two = running
    await knows(agent, "b", await two.put({"/b/": TARGET}))
    await knows(agent, "a", await one.put({"/a/": TARGET, "/b/user/x/": TARGET}))
    assert list((await asking.state()).refused) == ["/b/user/x/"]
    await knows(agent, "a", await one.put({"/b/user/x/": None}))
    state = await asking.state()
    assert (state.refused, state.routes) == ({}, 1)
    await knows(agent, "a", await one.put({"/a/user/y/": TARGET}))
    assert "failed" not in caplog.text


async def test_hubs_may_have_the_same_route_where_nobody_claims_anything(running, caplog):
    agent, asking, one, two = running
    await knows(agent, "a", await one.put({"/": TARGET, "/a/": TARGET}))
    assert (await asking.state()).refused == {}  # a hub that has no table yet claims nothing
    await knows(agent, "b", await two.put({"/": TARGET, "/b/": TARGET}))
    assert "failed" not in caplog.text
    assert (await asking.state()).refused == {}
    assert "no hub claims it" in (await asking.state(hub="b")).refused["/"]


async def test_the_log_names_a_few_of_many_refused_routes(running, caplog):
    agent, _, one, two = running
    await knows(agent, "b", await two.put({"/b/": TARGET}))
    await knows(agent, "a", await one.put({f"/b/user/{number}/": TARGET for number in range(100)}))
    assert "95 more routes of the hub 'a' are not served" in caplog.text
    assert caplog.text.count("which claims all paths below /b/") == 5


async def test_what_is_not_known_yet_is_no_trouble(request):
    """Else a hub would not wait for an agent that has just been started again, whose Traefik serves users."""
    silent = await asyncio.start_server(lambda *_: asyncio.Event().wait(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    try:
        async with agent_for({"a": Store(name=request.node.name, prefix="a")}, url) as (_, asking):
            assert (await asking.state()).trouble == ""
            assert (await asking.get("/readyz"))[0] == 503
    finally:
        silent.close()
