"""The agent beside a real Traefik: what users get, with and without a hub and the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jhub_kvproxy import Backend, Batch
from jhub_kvproxy.agent import follower
from jhub_kvproxy.routing import routes
from jhub_kvproxy.routing.hub_options import Claim, HubOptions
from jhub_kvproxy.store.registry import find_backend
from tests.agents import TOKEN, Writing, agent_for
from tests.hub import until
from tests.others_traefik import PASSWORD, OthersTraefik, others_traefik
from tests.site import Site
from tests.stores import on_every_store


@pytest.fixture
def others(site: Site, tmp_path: Path) -> AsyncIterator[OthersTraefik]:
    """A Traefik with our plugin that runs, and that nobody feeds yet."""
    directory = tmp_path / "traefik"
    directory.mkdir()
    found = others_traefik(site, directory, "push")
    with found.traefik:
        yield found


@pytest.fixture
async def backends(site: Site) -> AsyncIterator[list[Backend]]:
    """A list of backends, which the test may add to; all are closed after it."""
    made: list[Backend] = []
    yield made
    for backend in made:
        await backend.close()


async def writing(site: Site, backends: list[Backend], prefix: str = "", **options: object) -> Writing:
    backend = reading(site, prefix, read_only=False)
    await backend.open()
    backends.append(backend)
    return Writing(backend, **options)


def reading(site: Site, prefix: str = "", *, read_only: bool = True) -> Backend:
    name = site.store.prefix + prefix
    return find_backend(site.store.name)(config=site.store.config, prefix=name, read_only=read_only)


@on_every_store
async def test_traefik_serves_what_stands_in_the_store_without_a_hub(site, others, backends):
    hub = await writing(site, backends)
    first = await hub.put({"/user/a/": await site.server("a")})
    async with agent_for({hub.backend.prefix: reading(site)}, others.api_url, PASSWORD) as (_, asking):
        await asking.until(first)
        assert await site.client.server("/user/a/") == "a"
        state = await asking.until(await hub.put({"/user/b/": await site.server("b")}))
        assert await site.client.server("/user/b/") == "b"
        assert (state.routes, state.trouble, state.refused) == (2, "", {})
        await asking.until(await hub.put({"/user/a/": None}))
        assert await site.client.server("/user/a/") is None


async def test_a_traefik_that_comes_back_is_served_without_the_store(site, others, backends):
    hub = await writing(site, backends)
    revision = await hub.put({"/user/a/": await site.server("a")})
    async with agent_for({hub.backend.prefix: reading(site)}, others.api_url, PASSWORD) as (_, asking):
        await asking.until(revision)
        await hub.backend.apply(Batch(dict.fromkeys((await hub.backend.load()).keys)))
        others.traefik.kill()
        await until(lambda: _has_trouble(asking), "nobody noticed")
        others.traefik.launch()
        await asking.until(revision)
        assert await site.client.server("/user/a/") == "a"
        status, text = await asking.get("/readyz")
        assert status == 200
        assert "Not known to be up to date since" in text
        assert "it is empty" in text


async def test_the_cache_serves_while_the_store_is_away(site, others, backends, tmp_path):
    hub = await writing(site, backends)
    revision = await hub.put({"/user/a/": await site.server("a")})
    cache = tmp_path / "cache.json"
    prefix = hub.backend.prefix
    async with agent_for({prefix: reading(site)}, others.api_url, PASSWORD, cache=str(cache)) as (_, asking):
        await asking.until(revision)
    assert cache.stat().st_mode & 0o777 == 0o600
    others.traefik.kill()
    others.traefik.launch()
    away = find_backend("etcd")(urls=["http://127.0.0.1:1"], timeout=0.5, prefix=prefix, read_only=True)
    async with agent_for({prefix: away}, others.api_url, PASSWORD, cache=str(cache)) as (_, asking):
        await asking.until(revision)
        assert await site.client.server("/user/a/") == "a"
        status, text = await asking.get("/readyz")
        assert (status, f" serves revision {revision} of " in text) == (200, True), text


async def test_a_cached_table_does_not_take_the_place_of_what_traefik_serves(site, others, backends, tmp_path):
    hub = await writing(site, backends)
    prefix, cache = hub.backend.prefix, tmp_path / "cache.json"
    async with agent_for({prefix: reading(site)}, others.api_url, PASSWORD, cache=str(cache)) as (_, asking):
        await asking.until(await hub.put({"/user/a/": await site.server("a")}))
    older = cache.read_bytes()
    async with agent_for({prefix: reading(site)}, others.api_url, PASSWORD, cache=str(cache)) as (_, asking):
        await asking.until(await hub.put({"/user/a/": None, "/user/b/": await site.server("b")}))
    cache.write_bytes(older)
    away = find_backend("etcd")(urls=["http://127.0.0.1:1"], timeout=0.2, prefix=prefix, read_only=True)
    async with agent_for({prefix: away}, others.api_url, PASSWORD, cache=str(cache)) as (agent, asking):
        await until(lambda: agent.states.described()["hubs"][prefix]["store_trouble"], "the store answers")
        assert (await asking.state()).revision == ""  # what Traefik has is not known to be this hub's
        await until(lambda: _is_ready(asking), "an agent beside a Traefik that serves is not ready")
        assert "keeps what an earlier agent or hub has given it" in (await asking.get("/readyz"))[1]
        assert await site.client.server("/user/b/") == "b"
        assert await site.client.server("/user/a/") is None


async def test_an_agent_that_knows_one_of_two_hubs_takes_nothing_from_the_other(site, others, backends, monkeypatch):
    """As at its start, when one table is read before the other. But it does not wait for ever: there may be none."""
    monkeypatch.setattr(follower, "_PATIENCE", float("inf"))
    one = await writing(site, backends)
    two = await writing(site, backends, "-2", options=HubOptions(claim=Claim("/two/")))
    first, second = one.backend.prefix, two.backend.prefix
    b = await site.server("b")
    async with agent_for({first: reading(site), second: reading(site, "-2")}, others.api_url, PASSWORD) as (_, asking):
        await asking.until(await one.put({"/user/a/": await site.server("a")}))
        await asking.until(await two.put({"/two/": b}), second)
    away = find_backend("etcd")(urls=["http://127.0.0.1:1"], timeout=0.2, prefix=second, read_only=True)
    async with agent_for({first: reading(site), second: away}, others.api_url, PASSWORD) as (agent, asking):
        await until(lambda: agent.states.described()["hubs"][second]["store_trouble"], "the store answers")
        await until(lambda: agent.states.described()["hubs"][first]["known_revision"], "the store does not answer")
        await until(lambda: _is_ready(asking), "an agent beside a Traefik that serves is not ready")
        assert "keeps what an earlier agent or hub has given it" in (await asking.get("/readyz"))[1]
        assert await site.client.server("/two/") == "b"
        monkeypatch.setattr(follower, "_PATIENCE", 0.0)
        await asking.until(await one.put({"/user/c/": b}))
        assert await site.client.server("/user/c/") == "b"


async def test_several_hubs_behind_one_traefik(site, others, backends):
    one = await writing(site, backends)
    two = await writing(site, backends, "-2", options=HubOptions(claim=Claim("/two/")))
    hubs = {one.backend.prefix: reading(site), two.backend.prefix: reading(site, "-2")}
    a, b = await site.server("a"), await site.server("b")
    async with agent_for(hubs, others.api_url, PASSWORD) as (_, asking):
        await asking.until(await one.put({"/": a, "/user/x/": a, "/two/user/y/": a}))
        await asking.until(await two.put({"/two/": b, "/two/user/y/": b, "/user/x/": b}), two.backend.prefix)
        assert [await site.client.server(path) for path in ("/", "/user/x/", "/two/user/y/")] == ["a", "a", "b"]
        mine, other = await asking.state(), await asking.state(hub=two.backend.prefix)
        assert mine.revision == one.revision
        assert list(mine.refused) == ["/two/user/y/"]
        assert list(other.refused) == ["/user/x/"]
        assert f"belongs to the hub {one.backend.prefix!r}" in other.refused["/user/x/"]
        for hub, routes in ((one, {"": a, "/user/x": a}), (two, {"/two": b, "/two/user/y": b})):
            told = json.loads((await asking.get("/routes", params={"hub": hub.backend.prefix}))[1])
            assert (told["revision"], {key: line["t"] for key, line in told["routes"].items()}) == (
                hub.revision,
                routes,
            )
        query = {"hub": one.backend.prefix, "path": "/two/user/y/lab"}
        assert json.loads((await asking.get("/routes", params=query))[1])["routes"] == {}
        metrics = (await asking.get("/metrics"))[1]
        assert f'kvproxy_agent_refused_routes{{hub="{one.backend.prefix}"}} 1.0' in metrics
        status = json.loads((await asking.get("/status"))[1])
        assert status["hubs"][two.backend.prefix]["refused"] == other.refused


async def test_an_agent_that_starts_again_takes_no_hubs_routes_away(site, others, backends, monkeypatch):
    one = await writing(site, backends)
    two = await writing(site, backends, "-2", options=HubOptions(claim=Claim("/two/")))
    a, b = await site.server("a"), await site.server("b")
    names = one.backend.prefix, two.backend.prefix
    async with agent_for(
        dict(zip(names, (reading(site), reading(site, "-2")), strict=True)), others.api_url, PASSWORD
    ) as (
        _,
        asking,
    ):
        await asking.until(await one.put({"/user/x/": a}))
        await asking.until(await two.put({"/two/user/y/": b}), two.backend.prefix)
    slow, may_answer = reading(site, "-2"), asyncio.Event()
    load = slow.load

    async def slowly():
        await may_answer.wait()
        return await load()

    monkeypatch.setattr(slow, "load", slowly)
    hubs = dict(zip(names, (reading(site), slow), strict=True))
    async with agent_for(hubs, others.api_url, PASSWORD) as (agent, asking):
        await until(lambda: agent.states.described()["hubs"][names[0]]["known_revision"], "one is not known")
        await until(lambda: _is_ready(asking), "an agent beside a Traefik that serves is not ready")
        await asyncio.sleep(1)  # Traefik is asked meanwhile
        assert await site.client.server("/two/user/y/") == "b"
        may_answer.set()
        await asking.until(two.revision, two.backend.prefix)
        await asking.until(await one.put({"/user/z/": a}))
        assert await site.client.server("/two/user/y/") == "b"
        may_answer.clear()
    monkeypatch.setattr("jhub_kvproxy.agent.follower._PATIENCE", 1.0)
    hubs = dict(zip(names, (reading(site), slow), strict=True))
    async with agent_for(hubs, others.api_url, PASSWORD) as (_, asking):
        await asking.until(await one.put({"/user/x/": b}))
        assert await site.client.server("/user/x/") == "b"


async def test_a_traefik_without_a_table_waits_for_no_hub(site, others, backends, monkeypatch):
    monkeypatch.setattr("jhub_kvproxy.agent.follower._PATIENCE", 1000.0)
    hub = await writing(site, backends)
    prefix = hub.backend.prefix
    away = find_backend("etcd")(urls=["http://127.0.0.1:1"], timeout=0.2, prefix="away", read_only=True)
    async with agent_for({prefix: reading(site), "away": away}, others.api_url, PASSWORD) as (_, asking):
        await asking.until(await hub.put({"/user/a/": await site.server("a")}))
        await asking.until(await hub.put({"/user/b/": await site.server("b")}))
        assert "serves revision" in (await asking.get("/readyz"))[1]


async def test_an_agent_takes_over_from_another_that_has_gone(site, others, backends, monkeypatch):
    monkeypatch.setattr("jhub_kvproxy.agent.traefik_feed._REFUSED_PAUSE", 0.2)
    monkeypatch.setattr("jhub_kvproxy.agent.traefik_feed._SILENCE", 2.0)
    hub = await writing(site, backends)
    prefix = hub.backend.prefix
    await hub.put({"/user/a/": await site.server("a")})
    async with agent_for({prefix: reading(site)}, others.api_url, PASSWORD) as (_, asking):
        await asking.until(hub.revision)
        await asyncio.sleep(1.1)  # who starts in a later second comes out on top
        async with agent_for({prefix: reading(site)}, others.api_url, PASSWORD) as (_, rival):
            await until(lambda: _is_refused(asking), "both count as served")
            await rival.until(await hub.put({"/user/b/": await site.server("b")}))
            await asyncio.sleep(3)  # who lives, and has what is new, is left alone
            assert (await rival.state()).revision == hub.revision
            assert await _is_refused(asking)
        await asking.until(await hub.put({"/user/c/": await site.server("c")}))
        assert await site.client.server("/user/c/") == "c"


async def test_an_agent_without_cache_is_ready_beside_a_traefik_that_serves(site, others, backends):
    hub = await writing(site, backends)
    prefix = hub.backend.prefix
    async with agent_for({prefix: reading(site)}, others.api_url, PASSWORD) as (_, asking):
        await asking.until(await hub.put({"/user/a/": await site.server("a")}))
    away = find_backend("etcd")(urls=["http://127.0.0.1:1"], timeout=0.2, prefix=prefix, read_only=True)
    async with agent_for({prefix: away}, others.api_url, PASSWORD) as (_, asking):
        await until(lambda: _is_ready(asking), "it is not ready while the store is away")
        assert (await asking.state()).revision == ""
    await hub.backend.apply(Batch(dict.fromkeys((await hub.backend.load()).keys)))
    async with agent_for({prefix: reading(site)}, others.api_url, PASSWORD) as (_, asking):
        await until(lambda: _is_ready(asking), "it is not ready while the store is empty")
        assert await site.client.server("/user/a/") == "a"
        others.traefik.kill()
        others.traefik.launch()
        await until(lambda: _is_not_ready(asking), "a Traefik without a table counts as ready")


async def test_a_route_that_the_plugin_refuses_is_told(site, others, backends, monkeypatch):
    hub = await writing(site, backends)
    async with agent_for({hub.backend.prefix: reading(site)}, others.api_url, PASSWORD) as (_, asking):
        await asking.until(await hub.put({"/user/a/": await site.server("a")}))
        monkeypatch.setattr(routes, "_check_target", lambda routespec, target: None)  # fake: we know of none
        state = await asking.until(await hub.put({"/user/bad/": "ftp://127.0.0.1:1"}))
        assert list(state.refused) == ["/user/bad/"]
        assert "its target is not a URL" in state.refused["/user/bad/"]
        assert await site.client.server("/user/a/") == "a"


async def test_who_may_ask_what(site, others, backends):
    hub = await writing(site, backends)
    async with agent_for({hub.backend.prefix: reading(site)}, others.api_url, PASSWORD) as (agent, asking):
        assert (await asking.get("/livez"))[0] == 200
        status, text = await asking.get("/readyz")
        assert (status, "serves no table" in text or "is not served" in text) == (503, True)
        assert (await asking.get("/servingz"))[0] == 503
        with pytest.raises(AssertionError, match="The token is not that of this agent"):
            await asking.state(token=TOKEN[:-1])
        with pytest.raises(AssertionError, match="and not 'other'"):
            await asking.state(hub="other")
        await asking.until(await hub.put({"/user/a/": await site.server("a")}))
        status, text = await asking.get("/readyz")
        assert (status, text.endswith(": 1 route.\n")) == (200, True), text
        assert await asking.get("/servingz") == (200, text)
        for path in ("/status", "/routes", "/activity", "/revision"):
            query = {"hub": hub.backend.prefix}
            assert (await asking.get(path, params=query))[0] == 200
            assert (await asking.get(path, params=query, headers={"Authorization": f"token {TOKEN}x"}))[0] == 403
        agent.end()
        assert (await asking.get("/readyz"))[0] == 503
        assert await asking.get("/servingz") == (200, text), (
            "Kubernetes would send nobody there, though there is no other"
        )
        assert await site.client.server("/user/a/") == "a"


async def test_times_of_use_are_told(site, others, backends):
    hub = await writing(site, backends)
    async with agent_for({hub.backend.prefix: reading(site)}, others.api_url, PASSWORD) as (_, asking):
        await asking.until(await hub.put({"/user/a/": await site.server("a")}))
        status, text = await asking.get("/activity", params={"hub": hub.backend.prefix})
        assert (status, json.loads(text)) == (200, {"ages": {}})


@on_every_store
async def test_a_hub_whose_traefiks_have_agents(site, others):
    prefix = site.store.prefix
    async with agent_for({prefix: reading(site)}, others.api_url, PASSWORD) as (_, asking):
        hub = site.proxy(delivery="agent", should_start=False, agent_urls=[asking.url], agent_token=TOKEN)
        a, b = await site.server("a"), await site.server("b")
        await hub.add_route("/user/a/", a, {})
        assert await site.client.server("/user/a/") == "a"
        await hub.add_route("/user/a/", b, {})
        assert await site.client.server("/user/a/") == "b"
        await asyncio.gather(*(hub.add_route(f"/user/x{number}/", a, {}) for number in range(50)))
        assert [await site.client.server(f"/user/x{number}/") for number in range(50)] == ["a"] * 50
        await hub.delete_route("/user/a/")
        assert await site.client.server("/user/a/") is None
        others.traefik.kill()
        others.traefik.launch()
        await site.client.close()
        await hub.add_route("/user/c/", a, {})
        assert await site.client.server("/user/x7/") == "a"
        await hub.stop()


async def _is_ready(asking):
    return (await asking.get("/readyz"))[0] == 200


async def _is_refused(asking):
    return "Another program" in (await asking.state()).trouble


async def _is_not_ready(asking):
    return not await _is_ready(asking)


async def _has_trouble(asking):
    return bool((await asking.state()).trouble)
