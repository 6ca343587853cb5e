"""Stores behind a slow network. All times are a tenth of those with the default lease of 10 s."""

from __future__ import annotations

import json

import pytest

from servers.slow import SlowNetwork
from tests.stores import Store

DELAY, LEASE = 0.3, 1


@pytest.mark.parametrize("name", ["etcd", "consul"])
async def test_routes_change_in_a_store_that_takes_3_seconds_for_each_call(name, request, site, caplog):
    server = request.getfixturevalue(name)
    async with SlowNetwork(server.port) as network:
        traits = json.loads(json.dumps(server.traits).replace(str(server.port), str(network.port)))
        site.store = Store(name, traits)
        proxy = await site.started(delivery="push", lease_seconds=LEASE)
        url = await site.server("a")
        network.delay = DELAY
        for number in range(5):
            await proxy.add_route(f"/user/{number}/", url, {})
        assert await site.client.server("/user/4/") == "a"
        assert (await proxy.get_all_routes()).keys() == {f"/user/{number}/" for number in range(5)}
        assert "of KVProxy.lease_seconds" in caplog.text
        network.delay = 0
