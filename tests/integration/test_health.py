"""``/_chp_healthz``, by which a load balancer learns whether a Traefik serves the routing table, and nothing else."""

from __future__ import annotations

import os
import signal

import pytest

from jhub_kvproxy.hub.proxy import KVProxy
from tests.hub import until
from tests.others_traefik import PASSWORD, others_traefik
from tests.site import is_served
from tests.stores import on_every_store
from tests.wire import exchange, request

HEALTH = "/_chp_healthz"
# Traefik tidies up none of these paths, so they are others.
OTHER_PATHS = [
    *(f"{HEALTH}/", f"{HEALTH}/x", f"/{HEALTH}", f"/x/..{HEALTH}", "/_CHP_HEALTHZ", f"{HEALTH};x", "/ping", "/ping/"),
    *(f"{HEALTH}%2F", f"{HEALTH}x", "/health", "/healthz", "/api/ping", f"/user/x{HEALTH}"),
]


async def health(port, host="127.0.0.1"):
    """Status and body; no header tells anything about Traefik or the table."""
    status, answer = await exchange(port, request(HEALTH, "Connection: close", host=host))
    head, _, body = answer.partition(b"\r\n\r\n")
    names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert names <= {b"date", b"content-length", b"content-type", b"connection", b"x-content-type-options"}, head
    return status, body


async def is_healthy(port):
    try:
        return await health(port) == (200, b"OK")
    except OSError:
        return False


async def is_up_without_a_table(port):
    try:
        # The plugin says 503; without it, the path does not exist before there is a table.
        return (await health(port))[0] in (404, 503)
    except OSError:
        return False


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_it_needs_the_table_and_no_route(site, delivery):
    await site.started(delivery=delivery)
    assert await health(site.port) == (200, b"OK")


async def test_a_traefik_that_was_started_again_has_nothing_to_say_until_it_has_the_table(site, monkeypatch):
    proxy = await site.started(delivery="push")
    await proxy.add_route("/user/a/", await site.server("a"), {})
    supervisor = proxy.control.local.supervisors[0]
    killed = supervisor._pid
    with monkeypatch.context() as patch:
        patch.setattr(proxy.control.delivery._pusher, "may_push", lambda served: False)  # nobody tells it anything
        os.kill(killed, signal.SIGKILL)
        await until(lambda: is_up_without_a_table(site.port), "Traefik was not started again, or calls itself healthy")
        assert supervisor._pid != killed
        status, answer = await exchange(site.port, request("/user/a/", "Connection: close"))
        assert (status, answer.rpartition(b"\r\n")[2]) == (503, b"There is no routing table yet.\n")
    await until(lambda: is_healthy(site.port), "it stays unhealthy with its table")
    await site.client.close()
    assert await is_served(site, "/user/a/")


@pytest.mark.parametrize("delivery", ["push", "store"])
@pytest.mark.parametrize("host_routing", [False, True])
async def test_no_route_can_take_its_place_and_no_other_path_is_it(site, delivery, host_routing):
    proxy = await site.started(delivery=delivery, host_routing=host_routing)
    host = "_chp_healthz.example.org" if host_routing else ""
    specs = ["/", f"{host}{HEALTH}/", f"{host}/user{HEALTH}/", f"{host}/services{HEALTH}/", f"{host}/user/ping/"]
    if not host_routing:
        specs += [f"{HEALTH}/{HEALTH}/", f"{HEALTH}/" + "x/" * 200]
    else:
        specs.append(f"{host}/")
    for spec in dict.fromkeys(specs):
        await proxy.add_route(spec, await site.server(spec), {})
    for asked in ("127.0.0.1", host or "x", "ping"):
        assert await health(site.port, asked) == (200, b"OK")
        for path in OTHER_PATHS:
            status, answer = await exchange(site.port, request(path, "Connection: close", host=asked))
            assert status == 400 or b'"server": ' in answer, (path, answer)
    assert await site.client.server(f"/user{HEALTH}/", host or "x") == f"{host}/user{HEALTH}/"
    await proxy.delete_route("/")
    assert await health(site.port) == (200, b"OK")


@on_every_store
async def test_a_traefik_that_others_start_and_that_reads_the_store(site, tmp_path):
    await others_start_a_traefik(site, tmp_path, "store")


async def test_a_traefik_that_others_start_and_that_is_pushed_the_table(site, tmp_path):
    await others_start_a_traefik(site, tmp_path, "push")


async def others_start_a_traefik(site, tmp_path, delivery):
    port, others = site.port, others_traefik(site, tmp_path, delivery)
    traefik = others.traefik
    options = {"should_start": False, "traefik_api_urls": [others.api_url], "delivery": delivery}
    options["traefik_api_password"] = PASSWORD
    traefik.launch()
    try:
        await until(lambda: is_up_without_a_table(port), "it calls itself healthy without a table")
        proxy: KVProxy = site.proxy(**options)
        await proxy.add_route("/user/a/", await site.server("a"), {})
        assert await health(port) == (200, b"OK")
        await proxy.delete_route("/user/a/")
        assert await health(port) == (200, b"OK"), "a table without routes is one"
        await proxy.add_route("/user/b/", await site.server("b"), {})
        await proxy.stop()

        traefik.kill()
        traefik.launch()
        await site.client.close()
        if delivery == "store":
            await until(lambda: is_healthy(port), "it does not read the table by itself")
            assert await site.client.server("/user/b/") == "b"
            await proxy.backend.open()
            await proxy.backend.remove()
            await proxy.backend.close()
            if site.store.name == "toml":  # with the table went the directory, and what the admin had put there
                return
            traefik.kill()
            traefik.launch()
        await until(lambda: is_up_without_a_table(port), "it calls itself healthy without a table")
        second = site.proxy(**options)
        await second.get_all_routes()
        await second.add_route("/user/c/", await site.server("c"), {})
        assert await health(port) == (200, b"OK")
    finally:
        traefik.kill()
