"""Traefiks that others start (``KVProxy.should_start = False``)."""

from __future__ import annotations

import aiohttp
import pytest

from jhub_kvproxy import RouteNotReady, TraefikError
from jhub_kvproxy.push.replica import Standing
from servers.ports import free_port
from servers.traefik import Traefik
from tests.hub import until


async def test_replicas_that_others_start(site, tmp_path):
    """Two of them; one goes down, and holds nobody up; with both down, an add fails cleanly."""
    hub = site.proxy(should_start=False, traefik_api_urls=["http://127.0.0.1:1"], ready_timeout=2)
    with pytest.raises(RouteNotReady, match="cannot be reached"):
        await hub.add_route("/user/early/", "http://127.0.0.1:1", {})
    assert await hub.get_all_routes() == {}
    await hub.stop()

    replicas = [start_replica(site, tmp_path / str(number)) for number in range(2)]
    try:
        urls = [f"http://127.0.0.1:{api}" for _, _, api in replicas]
        proxy = site.proxy(
            should_start=False, traefik_api_urls=urls, traefik_api_username="admin", traefik_api_password="pass"
        )
        assert await proxy.get_all_routes() == {}
        await until(lambda: all_serve(proxy), "the replicas did not start")
        server = await site.server("a")
        await proxy.add_route("/user/a/", server, {})
        for _, port, _ in replicas:
            assert await get_server(port, "/user/a/") == "a"
        traefik, _, _ = replicas[0]
        traefik.kill()
        await proxy.add_route("/user/b/", server, {})
        assert await get_server(replicas[1][1], "/user/b/") == "a"
        await proxy.delete_route("/user/a/")
        assert await get_server(replicas[1][1], "/user/a/") is None

        await proxy.stop()
        stranger = site.proxy(should_start=False, traefik_api_urls=urls, traefik_api_password="wrong", ready_timeout=1)
        with pytest.raises(RouteNotReady, match="refuses our credential"):
            await stranger.add_route("/user/c/", server, {})
    finally:
        for traefik, _, _ in replicas:
            traefik.kill()


async def test_replicas_must_be_named(site):
    with pytest.raises(TraefikError, match="traefik_api_urls must name"):
        await site.proxy(should_start=False).get_all_routes()
    with pytest.raises(TraefikError, match="is not the URL of a Traefik API"):
        await site.proxy(should_start=False, traefik_api_urls=["localhost:8099"]).get_all_routes()
    with pytest.raises(TraefikError, match="at localhost:8099 has a user name in it") as refused:
        await site.proxy(should_start=False, traefik_api_urls=["http://me:s3cret@localhost:8099"]).get_all_routes()
    assert "s3cret" not in str(refused.value)


def all_serve(proxy):
    """Whether changes of routes wait for all of them, because they serve the table."""
    replicas = proxy.control.readiness.replicas
    return all(replica.revision and replica.standing is Standing.AWAITED for replica in replicas)


async def get_server(port, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return (await answer.json())["server"] if answer.status == 200 else None


def start_replica(site, directory):
    """A Traefik as an admin would start it, reading the table's directory; its API's user is admin:pass."""
    directory.mkdir()
    port, api = free_port(), free_port()
    table = site.directory / "table" / site.store.prefix / "traefik"
    (table / "api.toml").write_text(
        """
        [http.routers.api]
        rule = "PathPrefix(`/api`)"
        entryPoints = ["api"]
        service = "api@internal"
        middlewares = ["api-auth"]
        [http.middlewares.api-auth.basicAuth]
        users = ["admin:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ="]
        """
    )
    (directory / "traefik.toml").write_text(
        f"""
        [entryPoints.public]
        address = "127.0.0.1:{port}"
        asDefault = true
        [entryPoints.api]
        address = "127.0.0.1:{api}"
        [api]
        dashboard = false
        [providers]
        providersThrottleDuration = "0s"
        [providers.file]
        directory = "{table}"
        """
    )
    traefik = Traefik(directory / "traefik.toml")
    traefik.launch()
    return traefik, port, api
