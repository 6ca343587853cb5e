"""A hub, real agents, and a real Traefik beside each (``KVProxy.delivery = "agent"``)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from jhub_kvproxy import RouteNotReady
from jhub_kvproxy.store.registry import find_backend
from tests.agents import TOKEN, agent_for
from tests.hub import until
from tests.others_traefik import PASSWORD, others_traefik
from tests.site import Site
from tests.stores import on_every_store


@pytest.fixture
def others(site: Site, tmp_path):
    """A Traefik with our plugin that runs."""
    directory = tmp_path / "traefik"
    directory.mkdir()
    found = others_traefik(site, directory, "push")
    with found.traefik:
        yield found


def agent(site, others):
    backend = find_backend(site.store.name)(config=site.store.config, prefix=site.store.prefix, read_only=True)
    return agent_for({site.store.prefix: backend}, others.api_url, PASSWORD)


def hub(site, *asking, **traits):
    urls = [each.url for each in asking]
    return site.proxy(delivery="agent", should_start=False, agent_urls=urls, agent_token=TOKEN, **traits)


@on_every_store
async def test_what_is_added_is_served_and_what_is_deleted_is_not(site, others):
    async with agent(site, others) as (_, asking):
        proxy = hub(site, asking, activity=True)
        for name in ("a", "b"):
            await proxy.add_route(f"/user/{name}/", await site.server(name), {})
            assert await site.client.server(f"/user/{name}/") == name
        await proxy.add_route("/user/a/", await site.server("c"), {})
        assert await site.client.server("/user/a/") == "c"
        await proxy.delete_route("/user/b/")
        assert await site.client.server("/user/b/") is None
        assert (await proxy.get_all_routes())["/user/a/"]["data"]["last_activity"]
        await asyncio.gather(*(proxy.add_route(f"/user/n{n}/", f"http://127.0.0.1:{n + 1}", {}) for n in range(100)))
        assert (await asking.state()).routes == 101


async def test_a_hub_that_comes_back_with_other_options_is_served_by_them(site, others):
    async with agent(site, others) as (_, asking):
        target = await site.server("a")
        first = hub(site, asking)
        await first.add_route("/services/x/", target, {})
        assert (await site.client.get("/services/x/page"))[1]["path"] == "/services/x/page"
        await first.stop()
        second = hub(site, asking, strip_prefix=["/services/x/"])
        await second.add_route("/services/x/", target, {})
        assert (await site.client.get("/services/x/page"))[1]["path"] == "/page"


async def test_a_traefik_that_dies_is_named_and_its_routes_come_back(site, others):
    async with agent(site, others) as (_, asking):
        proxy = hub(site, asking, ready_timeout=2)
        await proxy.add_route("/user/a/", await site.server("a"), {})
        others.traefik.kill()
        await until(lambda: _has_trouble(asking), "the agent does not notice")
        with pytest.raises(RouteNotReady, match=r"says: Traefik at .* cannot be reached"):
            await proxy.add_route("/user/b/", await site.server("b"), {})
        others.traefik.launch()

        async def is_back():
            return not await _has_trouble(asking)

        await until(is_back, "it does not come back")
        await proxy.add_route("/user/b/", await site.server("b"), {})
        assert await site.client.server("/user/a/") == "a"
        assert await site.client.server("/user/b/") == "b"


async def test_the_check_asks_the_agents(site, others):
    async with agent(site, others) as (_, asking):
        await hub(site, asking).add_route("/user/a/", await site.server("a"), {})
        status, said = await _check(site, asking.url)
        assert status == 0, said
        assert f"{asking.url} (Traefik 3." in said
        assert "serves this table" in said
        others.traefik.kill()
        await until(lambda: _has_trouble(asking), "the agent does not notice")
        status, said = await _check(site, asking.url)
        assert status == 1, said
        assert f"The agent at {asking.url} says: Traefik at" in said
    status, said = await _check(site, asking.url)
    assert status == 1
    assert f"The agent at {asking.url} cannot be reached" in said


async def _check(site, url):
    """The exit status of ``jhub-kvproxy check``, and what it says."""
    words = ["check", f"--KVProxy.prefix={site.store.prefix}", f"--TomlBackend.path={site.store.traits['path']}"]
    words += ["--KVProxy.delivery=agent", f"--KVProxy.agent_urls={url}", "--KVProxy.ready_timeout=1"]
    command = [sys.executable, "-c", "import sys; from jhub_kvproxy.cli import main; sys.exit(main())", *words]
    environ = {**os.environ, "KVPROXY_AGENT_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=site.directory, env=environ)
    said = (await process.communicate())[0].decode()
    return process.returncode, " ".join(said.split())


async def _has_trouble(asking):
    return bool((await asking.state()).trouble)
