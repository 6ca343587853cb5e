"""``jhub-kvproxy routes``: those in the store, and those that a replica serves."""

from __future__ import annotations

import pytest

from jhub_kvproxy import Batch
from jhub_kvproxy.store.registry import find_backend
from servers.ports import free_port
from tests.site import leave
from tests.tools import DELIVERIES, begin, looked_at, on_all_stores_and_deliveries, told

ALICE, BOB = "http://127.0.0.1:1001", "http://127.0.0.1:1002"


async def fill(proxy, host=""):
    await proxy.add_route(f"{host}/user/alice/", ALICE, {"user": "alice", "server_name": ""})
    await proxy.add_route(f"{host}/user/alice/two/", BOB, {"user": "alice", "server_name": "two"})
    await proxy.add_route(f"{host}/user/b%C3%B6b/", BOB, {"user": "böb", "server_name": ""})
    await proxy.add_route(f"{host}/services/x/", BOB, {"service": "x"})


@on_all_stores_and_deliveries
async def test_the_store_and_a_replica_have_the_same(site, delivery):
    async with looked_at(site, delivery) as looked:
        await begin(looked)
        await fill(looked.proxy)
        replica = looked.url or "local"
        stored = (await looked.tell("routes", "--json")).json
        served = (await looked.tell("routes", "--json", "--replica", replica)).json
        specs = ["/services/x/", "/user/alice/", "/user/alice/two/", "/user/b%C3%B6b/"]
        assert [route["routespec"] for route in stored["routes"]] == specs
        assert [route["target"] for route in stored["routes"]] == [BOB, ALICE, BOB, BOB]
        assert (served["routes"], served["revision"]) == (stored["routes"], stored["revision"])
        assert (stored["replica"], served["replica"]) == (None, replica)
        await leave(looked.proxy) if not looked.url else await looked.proxy.control.close()
        assert (await looked.tell("routes", "--json")).json == stored
        result = await looked.tell("routes", "--user", "alice", "--replica", replica)
        assert (result.status, result.err) == (0, "")
        head, _, shown = result.out.partition("\n\n")
        columns, *rows = [line.split() for line in shown.splitlines()]
        assert " ".join(head.split()).startswith(f"{replica} serves 4 routes at revision {stored['revision']}")
        assert columns == ["ROUTE", "TARGET", "OF", "LAST", "ACTIVITY"]
        assert [row[:3] for row in rows] == [["/user/alice/", ALICE, "alice"], ["/user/alice/two/", BOB, "alice,"]]


@pytest.mark.parametrize("delivery", DELIVERIES)
async def test_a_route_that_only_the_store_or_only_the_replica_has(site, delivery):
    """Somebody has changed the store while no hub ran, and Traefik did not hear of it, or did."""
    async with looked_at(site, delivery) as looked:
        await begin(looked)
        await fill(looked.proxy)
        replica = looked.url or "local"
        await leave(looked.proxy) if not looked.url else await looked.proxy.control.close()
        backend = find_backend("toml")(config=site.store.config, prefix=site.store.prefix)
        await backend.open()
        await backend.apply(Batch({"routes/p.user.alice": None, "routes/p.broken": "{"}))
        await backend.close()
        stored = await looked.tell("routes", "--json")
        assert stored.status == 1
        assert [route["routespec"] for route in stored.json["routes"]] == [
            "/services/x/",
            "/user/alice/two/",
            "/user/b%C3%B6b/",
        ]
        assert "routes/p.broken" in stored.json["damage"][0]
        served = (await looked.tell("routes", "--json", "--replica", replica)).json["routes"]
        [alice] = [route for route in served if route["target"] == ALICE]
        assert alice["data"] is None
        assert alice["routespec"] in ("/user/alice/", "c6.p.user.alice")
        assert "not in the store" in (await looked.tell("routes", "--replica", replica)).out


@pytest.mark.parametrize("delivery", ["push", "agent"])
async def test_those_that_were_used_last_come_first(site, delivery):
    async with looked_at(site, delivery, activity=True) as looked:
        await begin(looked)
        for name in ("a", "b", "c"):
            await looked.proxy.add_route(f"/user/{name}/", await site.server(name), {"user": name})
        for name in ("c", "b"):
            assert await site.client.server(f"/user/{name}/") == name
        routes = (await looked.tell("routes", "--json", "--sort", "last-activity")).json["routes"]
        assert [route["routespec"] for route in routes] == ["/user/b/", "/user/c/", "/user/a/"]
        assert routes[0]["last_activity"] > routes[1]["last_activity"]
        assert routes[2]["last_activity"] is None


async def test_routes_of_a_host(site):
    async with looked_at(site, "push", host_routing=True) as looked:
        await begin(looked)
        await fill(looked.proxy, "a.example")
        await fill(looked.proxy, "b.example")
        routes = (await looked.tell("routes", "--json", "--host", "A.example", "--user", "böb")).json["routes"]
        assert [route["routespec"] for route in routes] == ["a.example/user/b%C3%B6b/"]
        shown = (await looked.tell("routes", "--host", "c.example")).out
        assert " ".join(shown.split()).endswith("; 0 of them are shown.")


async def test_an_empty_store(site):
    async with looked_at(site, "push") as looked:
        result = await looked.tell("routes")
        assert result.status == 1
        assert "the Hub makes it when it starts" in result.err
        await begin(looked)
        assert (await looked.tell("routes", "--json")).json["routes"] == []


async def test_a_replica_that_is_none_or_does_not_answer(site):
    url = f"http://127.0.0.1:{free_port()}"
    lines = {"should_start": False, "traefik_api_urls": [url], "traefik_api_password": "Hush4Ever"}
    async with looked_at(site, "push", **lines) as looked:
        await begin(looked)
        result = await looked.tell("routes", "--replica", "http://127.0.0.1:1")
        assert result.status == 1
        assert "has no replica 'http://127.0.0.1:1'. It has these: " + url in result.err
        result = await looked.tell("routes", "--replica", url + "/")
        assert result.status == 1
        assert "connection refused" in result.err
        assert "Hush4Ever" not in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sort", "name"], "invalid choice: 'name'"),
        (["--host", "a b"], "'a b' is not a host name"),
        (["--host", "a/b"], "'a/b' is not a host name"),
        (["--usr", "a"], "there is no option --usr; did you mean --user?"),
    ],
)
async def test_wrong_usage(words, message):
    result = await told("routes", *words)
    assert (result.status, result.out) == (2, "")
    assert message in result.err
