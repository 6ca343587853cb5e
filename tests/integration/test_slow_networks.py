"""Stores behind a slow line. All times are a tenth of those with the default lease of 10 s."""

from __future__ import annotations

import json

import pytest

from jhub_kvproxy.testing import Line
from tests.stores import Store

DELAY, LEASE = 0.3, 1


@pytest.mark.parametrize(
    ("name", "traits"),
    [("etcd", {}), ("consul", {}), ("redis", {"timeout": 1}), ("postgres", {"timeout": 1.2})],
    ids=["etcd", "consul", "redis", "postgres"],
)
async def test_routes_change_in_a_store_that_takes_3_seconds_for_each_call(name, traits, request, site, caplog):
    server = request.getfixturevalue({"redis": "redis_server"}.get(name, name))
    async with Line("127.0.0.1", server.port) as line:
        behind = json.loads(json.dumps(server.traits).replace(str(server.port), str(line.port)))
        site.store = Store(name, traits | behind)
        proxy = await site.started(delivery="push", lease_seconds=LEASE)
        url = await site.server("a")
        line.delay = DELAY
        for number in range(5):
            await proxy.add_route(f"/user/{number}/", url, {})
        assert await site.client.server("/user/4/") == "a"
        assert (await proxy.get_all_routes()).keys() == {f"/user/{number}/" for number in range(5)}
        assert "of KVProxy.lease_seconds" in caplog.text
        line.delay = 0


@pytest.mark.parametrize("login", [[], ['requirepass "password"']], ids=["nobody", "a password"])
async def test_a_hub_starts_with_a_redis_that_takes_3_seconds_for_each_call(start_redis, site, login):
    server = start_redis(*login)
    async with Line("127.0.0.1", server.port) as line:
        line.delay = DELAY
        traits = {"url": f"redis://127.0.0.1:{line.port}/1", "timeout": 1, "password": "password" if login else ""}
        site.store = Store("redis", traits)
        proxy = await site.started(delivery="push", lease_seconds=LEASE)
        await proxy.add_route("/user/a/", await site.server("a"), {})
        assert await site.client.server("/user/a/") == "a"
        line.delay = 0
