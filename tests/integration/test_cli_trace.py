"""``jhub-kvproxy trace``: which route a request gets, who answers, and why not."""

from __future__ import annotations

import pytest
from aiohttp import web

from jhub_kvproxy import Batch
from jhub_kvproxy.store.registry import find_backend
from servers.ports import free_port
from tests.servers import serving
from tests.site import leave
from tests.tools import begin, looked_at, on_all_stores_and_deliveries, told


@on_all_stores_and_deliveries
async def test_a_request_that_reaches_its_server(site, delivery):
    async with looked_at(site, delivery) as looked:
        await begin(looked)
        target = await site.server("alice")
        await looked.proxy.add_route("/", await site.server("hub"), {"hub": True})
        await looked.proxy.add_route("/user/alice/", target, {"user": "alice"})
        result = await looked.tell("trace", f"http://127.0.0.1:{site.port}/user/%61lice/lab?x", "--json")
        assert (result.status, result.err) == (0, ""), result.out
        facts = result.json
        assert facts["ok"]
        assert (facts["path"], facts["host"]) == ("/user/alice/lab", "127.0.0.1")
        routes = [(route["routespec"], route["wins"]) for route in facts["routes"]]
        assert routes == [("/user/alice/", True), ("/", False)]
        assert (facts["target"]["status"], facts["target"]["url"]) == (200, f"{target}/user/%61lice/lab?x")
        [replica] = facts["replicas"]
        assert (replica["routespec"], replica["target"], replica["error"]) == ("/user/alice/", target, None)
        assert facts["reply"]["status"] == 200
        if delivery != "agent":
            assert replica["reply"]["status"] == 200
        shown = " ".join((await looked.tell("trace", "/user/alice/lab")).out.split())
        assert "/user/alice/ (alice) wins" in shown
        assert "/ (the hub) does not get it: its path is shorter" in shown
        assert shown.endswith("verdict The request reaches its server, which answers 200.")


async def test_requests_say_who_asks(site):
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["User-Agent"])
        return web.Response()

    async with looked_at(site, "push") as looked, serving(answer) as target:
        await begin(looked)
        await looked.proxy.add_route("/user/alice/", target, {})
        assert (await looked.tell("trace", "/user/alice/")).status == 0
        assert (await looked.tell("trace", "/user/alice/", "--user-agent", "curl/8")).status == 0
        assert sorted(asked) == ["curl/8"] * 2 + ["jhub-kvproxy trace"] * 2


async def test_a_traefik_that_listens_on_one_address_only_is_asked_there(site):
    async with looked_at(site, "push") as looked:
        looked.proxy.public_url = url = f"http://127.0.0.2:{site.port}"
        await begin(looked)
        await looked.proxy.add_route("/user/alice/", await site.server("alice"), {"user": "alice"})
        result = await looked.tell("trace", "/user/alice/", f"--JupyterHub.bind_url={url}", "--json")
        assert result.status == 0, result.out
        [replica] = result.json["replicas"]
        assert (replica["reply"]["url"], replica["reply"]["status"]) == (f"{url}/user/alice/", 200)


async def test_a_traefik_that_wants_a_certificate_of_each_client_is_not_asked(site, authority):
    async with looked_at(site, "push", client_ca=str(authority.ca_file)) as looked:
        cert, key = looked.proxy.ssl_cert, looked.proxy.ssl_key = authority.issue("trace")
        looked.proxy.public_url = url = f"https://127.0.0.1:{site.port}"
        await begin(looked)
        await looked.proxy.add_route("/user/alice/", await site.server("alice"), {"user": "alice"})
        words = (f"--JupyterHub.bind_url={url}", f"--JupyterHub.ssl_cert={cert}", f"--JupyterHub.ssl_key={key}")
        result = await looked.tell("trace", "/user/alice/", *words, "--json")
        assert result.status == 0, result.out
        assert result.json["replicas"][0]["reply"] is None


async def test_a_server_that_does_not_answer(site):
    async with looked_at(site, "push", error_target="") as looked:
        await begin(looked)
        target = f"http://127.0.0.1:{free_port()}"
        await looked.proxy.add_route("/user/alice/", target, {"user": "alice"})
        result = await looked.tell("trace", "/user/alice/lab", "--json")
        assert result.status == 1
        [finding] = result.json["findings"]
        assert f"The server of alice at {target} does not answer (connection refused)" in finding
        assert "so Traefik answers 503" in finding
        assert result.json["replicas"][0]["reply"]["status"] == 502


async def test_no_server_and_no_hub(site):
    async with looked_at(site, "push") as looked:
        await begin(looked)
        result = await looked.tell("trace", "/user/alice/lab")
        assert result.status == 1
        shown = " ".join(result.out.split())
        assert "No route in the store covers this path" in shown
        assert "local has no route for it, and answers 404" in shown
        await looked.proxy.add_route("/", await site.server("hub"), {"hub": True})
        result = await looked.tell("trace", "/user/alice/lab", "--json")
        assert result.status == 1
        assert "so the hub answers it with 200: this server does not run" in result.json["verdict"]
        assert (await looked.tell("trace", "/hub/home")).status == 0


@pytest.mark.parametrize("delivery", ["push", "agent"])
async def test_a_replica_that_has_another_route_than_the_store(site, delivery):
    async with looked_at(site, delivery) as looked:
        await begin(looked)
        await looked.proxy.add_route("/user/alice/", await site.server("old"), {"user": "alice"})
        await leave(looked.proxy) if not looked.url else await looked.proxy.control.close()
        backend = find_backend("toml")(config=site.store.config, prefix=site.store.prefix)
        await backend.open()
        await backend.apply(Batch({"routes/p.user.alice": None}))
        await backend.close()
        result = await looked.tell("trace", "/user/alice/", "--json")
        assert result.status == 1
        assert result.json["replicas"][0]["routespec"] == "/user/alice/"
        assert "which the store does not have" in result.json["findings"][0]


async def test_without_a_store_or_a_replica(site):
    async with looked_at(site, "push") as looked:
        result = await looked.tell("trace", "/user/alice/")
        assert (result.status, result.out) == (1, "")
        assert "the Hub makes it when it starts" in result.err
        await begin(looked)
        await looked.proxy.add_route("/user/alice/", await site.server("alice"), {"user": "alice"})
        await looked.proxy.stop()
        result = await looked.tell("trace", "/user/alice/", "--json")
        assert result.status == 1
        assert "No Traefik of this user runs" in result.json["findings"][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["user/alice"], "is no URL"),
        (["ftp://x/"], "is no URL"),
        (["/a/../b"], "browsers resolve a path segment '..'"),
        ([], "the following arguments are required: URL"),
        (["/", "--user-agent", "a\nb"], "cannot be sent as a header"),
    ],
)
async def test_wrong_usage(words, message):
    result = await told("trace", *words)
    assert (result.status, result.out) == (2, "")
    assert message in result.err
