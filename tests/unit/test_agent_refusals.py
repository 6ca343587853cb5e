"""An agent's log names the routes that it refuses, whichever hub is the cause."""

from __future__ import annotations

from jhub_kvproxy.routing.hub_options import Claim, HubOptions
from servers.ports import free_port
from tests.agents import Writing, agent_for
from tests.hub import until
from tests.hubs_in_memory import TARGET, Store


async def test_a_route_whose_place_another_hub_claims_later_is_named(request, caplog) -> None:
    def store(prefix: str) -> Store:
        return Store(name=request.node.name, prefix=prefix)

    one, two = Writing(store("one")), Writing(store("two"), options=HubOptions(claim=Claim("/two/")))
    await one.put({"/": TARGET, "/two/user/y/": TARGET})
    hubs = {"one": store("one"), "two": store("two")}
    async with agent_for(hubs, f"http://127.0.0.1:{free_port()}") as (agent, _):
        await until(lambda: agent.states.described()["hubs"]["one"]["known_revision"], "the table is not taken")
        assert "is not served" not in caplog.text
        await two.put({"/two/": TARGET})
        await until(lambda: agent.states.described()["hubs"]["one"]["refused"], "the route is not refused")
        named = "The route '/two/user/y/' of the hub 'one' is not served: its place belongs to the hub 'two'"
        assert caplog.text.count(named) == 1
