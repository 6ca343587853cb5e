"""The life of the Traefik that the hub starts: what ends it, who takes it over, and what is left of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys

import aiohttp
import pytest

from jhub_kvproxy import RouteNotReady, TraefikError
from jhub_kvproxy.routing.revision import Revision
from jhub_kvproxy.traefik import supervisor
from jhub_kvproxy.traefik.running import API_PASSWORD_ENV
from servers.ports import free_port
from servers.process import is_alive
from tests.hub import until
from tests.servers import user_server
from tests.site import leave, pid_of, restart_traefik


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_killed_traefik_comes_back_with_its_routes(site, caplog, delivery):
    proxy = await site.started(delivery=delivery)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    for _ in range(2):
        await restart_traefik(proxy)
        await proxy.add_route("/user/b/", await site.server("b"), {})
        await site.client.close()
        assert await site.client.server("/user/a/") == "a"
        assert await site.client.server("/user/b/") == "b"
    assert "ended with status -9; starting it again" in caplog.text


async def test_stop_leaves_nothing_but_the_table(site):
    proxy = await site.started()
    await proxy.add_route("/user/a/", "http://127.0.0.1:1", {})
    pid = pid_of(proxy)
    await proxy.stop()
    assert not is_alive(pid)
    left = sorted(str(path.relative_to(site.directory)) for path in site.directory.rglob("*") if path.is_file())
    table = f"table/{site.store.prefix}"
    assert left == [f"{table}/lock", f"{table}/table.json", f"{table}/traefik/routes.toml"]
    # JupyterHub may still delete routes while it shuts down.
    await proxy.delete_route("/user/a/")
    assert await proxy.get_all_routes() == {}


async def left_running(site):
    """A proxy whose hub is gone, its Traefik running on."""
    proxy = await site.started()
    await leave(proxy)
    return proxy


async def test_the_next_hub_adopts_the_traefik_that_was_left(site):
    first = await site.started()
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    second = await site.started()
    assert pid_of(second) == pid_of(first)
    assert await site.client.server("/user/a/") == "a"
    await second.add_route("/user/b/", await site.server("b"), {})
    assert await site.client.server("/user/b/") == "b"
    os.kill(pid_of(second), signal.SIGKILL)
    await until(lambda: pid_of(second) != pid_of(first), "the adopted Traefik was not watched")
    await site.client.close()
    await until(lambda: reachable(site, "/user/b/"), "the routes did not come back")
    await second.stop()
    assert not is_alive(pid_of(second))


async def reachable(site, path):
    try:
        return await site.client.server(path)
    except (OSError, asyncio.IncompleteReadError):
        await site.client.close()


async def test_a_stranger_on_the_port_is_refused_and_left_alone(site):
    async with user_server("stranger") as url:
        site.port = int(url.rpartition(":")[2])
        proxy = site.proxy()
        with pytest.raises(TraefikError, match=rf"port {site.port} of 127\.0\.0\.1: another program listens there"):
            await proxy.start()
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert (await answer.json())["server"] == "stranger"


async def test_a_state_file_that_names_a_stranger_is_not_believed(site):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={API_PASSWORD_ENV: "x"})
    try:
        run = site.directory / "run"
        run.mkdir()
        (run / "traefik.json").write_text(json.dumps({"pid": stranger.pid, "api_port": free_port()}))
        proxy = await site.started()
        assert pid_of(proxy) != stranger.pid
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_start_without_its_table_leaves_no_traefik(site, monkeypatch):
    """Here because the revision that it waits for is nobody's."""
    proxy = site.proxy(ready_timeout=1)
    await proxy.get_all_routes()
    monkeypatch.setattr(type(proxy.control.writer), "revision", Revision("other", 1, "other.1"))
    with pytest.raises(RouteNotReady, match=r"Revision other\.1 of the routing table was not live after 1 s"):
        await proxy.start()
    assert not is_alive(pid_of(proxy))


async def test_an_adopted_traefik_that_does_not_answer_is_replaced(site, monkeypatch):
    first = await left_running(site)
    os.kill(pid_of(first), signal.SIGSTOP)
    monkeypatch.setattr(supervisor, "_START_TIMEOUT", 1)
    monkeypatch.setattr(supervisor, "_STOP_TIMEOUT", 1)
    second = site.proxy()
    starting = asyncio.create_task(second.start())
    await until(lambda: not is_alive(pid_of(first)), "the frozen Traefik was not ended")
    monkeypatch.setattr(supervisor, "_START_TIMEOUT", 30)
    await starting
    await second.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"


async def test_a_frozen_traefik_fails_the_add_and_takes_the_route_back(site):
    proxy = await site.started(ready_timeout=4)
    server = await site.server("a")
    os.kill(pid_of(proxy), signal.SIGSTOP)
    try:
        with pytest.raises(RouteNotReady, match=r"p\.user\.a@file in revision .* not live after 4 s: .*no answer"):
            await proxy.add_route("/user/a/", server, {})
        assert await proxy.get_all_routes() == {}
    finally:
        os.kill(pid_of(proxy), signal.SIGCONT)
    proxy.control.changes.timeout = 30
    await proxy.add_route("/user/b/", server, {})
    assert await site.client.server("/user/b/") == "a"
    assert await site.client.server("/user/a/") is None


@pytest.mark.parametrize("traits", [{}, {"should_start": False, "traefik_api_urls": ["http://127.0.0.1:1"]}])
async def test_the_store_is_closed_with_the_hub(site, monkeypatch, traits):
    """JupyterHub calls no stop() with cleanup_proxy = False, or should_start = False: it cancels all tasks."""
    proxy = site.proxy(**traits)
    closed = asyncio.Event()

    async def close():
        closed.set()

    monkeypatch.setattr(proxy.backend, "close", close)
    await (proxy.start() if proxy.should_start else proxy.get_all_routes())
    assert not closed.is_set()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert closed.is_set()
