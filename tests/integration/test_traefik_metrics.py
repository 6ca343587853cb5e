"""The metrics that a real Traefik is needed for, and Traefik's own."""

from __future__ import annotations

import os
import signal
import socket
import tomllib

import aiohttp
import pytest
from prometheus_client import generate_latest

from jhub_kvproxy import RouteNotReady, TraefikError
from servers.ports import free_port, is_free
from tests import command
from tests.hub import answers, processes_of, until
from tests.metrics import rising, series, value
from tests.replicas import Replica
from tests.site import leave, restart_traefik


@pytest.fixture
def two(site):
    """Two Traefiks that others start; each reads a table of its own, the second's is nobody's."""
    made = []
    for directory in (site.directory / "table" / site.store.prefix / "traefik", site.directory / "copy"):
        directory.mkdir(parents=True)
        made.append(Replica(site.directory / "replicas", {"file": {"directory": str(directory)}}))
        made[-1].launch()
    yield made
    for each in made:
        each.kill()


def of_replica(name, replica):
    return value(f"kvproxy_replica_{name}", replica=replica.api_url)


async def test_replicas_are_up_behind_and_down_and_gone_with_the_proxy(site, two):
    fresh, stale = two
    for each in two:
        await until(lambda each=each: answers(f"{each.api_url}/api/version"), "it does not start")
    proxy = site.proxy(should_start=False, traefik_api_urls=[each.api_url for each in two], ready_timeout=5)
    with rising("kvproxy_ready_duration_seconds_count", "kvproxy_ready_failures_total") as risen:
        with pytest.raises(RouteNotReady):
            await proxy.add_route("/user/a/", await site.server("a"), {})
        assert risen() == [1, 1]
    assert (of_replica("up", fresh), of_replica("up", stale)) == (1, 1)
    assert of_replica("lag_seconds", stale) > 0
    await until(lambda: of_replica("lag_seconds", fresh) == 0, "the one that serves the table is behind")
    assert value("kvproxy_replicas", standing="down") == 0
    assert sum(value("kvproxy_replicas", standing=s) for s in ("awaited", "catching_up", "lagging")) == 2
    stale.kill()
    await until(lambda: of_replica("up", stale) == 0, "it is not down")
    assert value("kvproxy_replicas", standing="down") == 1
    assert of_replica("up", fresh) == 1
    await proxy.stop()
    assert (of_replica("up", fresh), of_replica("lag_seconds", fresh)) == (None, None)
    assert value("kvproxy_replicas", standing="down") == value("kvproxy_replicas", standing="awaited") == 0


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_route_waits_for_traefik_and_traefik_is_started_again(site, delivery):
    proxy = await site.started(delivery=delivery)
    with rising("kvproxy_ready_duration_seconds_count", "kvproxy_ready_failures_total") as risen:
        await proxy.add_route("/user/a/", await site.server("a"), {})
        assert risen() == [1, 0]
    assert value("kvproxy_replicas", standing="awaited") == 1
    with rising("kvproxy_traefik_restarts_total") as restarts:
        os.kill(proxy.control.local.supervisors[0]._pid, signal.SIGKILL)
        await until(restarts, "it is not counted")
        assert restarts() == 1
    await proxy.stop()
    assert value("kvproxy_replicas", standing="awaited") == 0


async def page(port, path="/metrics"):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_traefik_has_metrics_where_and_of_what_it_is_told(site, delivery):
    port = free_port()
    labels = ["entrypoints", "services" if delivery == "store" else "routers"]
    proxy = await site.started(traefik_metrics=port, traefik_metrics_labels=labels, delivery=delivery)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    assert await site.client.server("/user/a/") == "a"

    async def counted():
        name = f"traefik_{labels[1].removesuffix('s')}_requests_total"
        return name in series((await page(port))[1])

    await until(counted, "the request is not counted")
    found = series((await page(port))[1])
    assert {"entrypoint": "public", "code": "200", "method": "GET", "protocol": "http"} in found[
        "traefik_entrypoint_requests_total"
    ]
    if delivery == "store":
        assert "p.user.a" in found["traefik_service_requests_total"][0]["service"]
        assert not any(name.startswith("traefik_router_") for name in found)
    else:
        assert found["traefik_router_requests_total"][0]["router"] == "kvproxy-routes@file"
    assert (await page(port, "/user/a/"))[0] == 404
    assert (await site.client.get("/metrics"))[0] == 404


async def test_traefik_has_none_unless_it_is_told(site):
    proxy = await site.started()
    assert "metrics" not in tomllib.loads((site.directory / "run" / "traefik.toml").read_text())
    await leave(proxy)
    port = free_port()
    await site.started(traefik_metrics=port)
    status, text = await page(port)
    assert status == 200
    assert "traefik_config_reloads_total" in series(text)


async def test_local_replicas_have_ports_of_their_own_for_it(site):
    base = site.port
    while not all(map(is_free, (base + 20, base + 21, base + 1))):
        base = site.port = free_port()
    await site.started(local_replicas=2, traefik_metrics=base + 20)
    assert [(await page(base + 20 + number))[0] for number in (0, 1)] == [200, 200]


async def test_a_port_that_is_taken_ends_the_start_with_a_sentence(site):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(
            TraefikError, match=rf"port {port} of 127\.0\.0\.1: another .* with KVProxy\.traefik_metrics"
        ):
            await site.started(traefik_metrics=port)
    assert not processes_of(site.directory)


async def test_a_port_that_is_one_of_users_ends_the_start_with_a_sentence(site):
    with pytest.raises(TraefikError, match=rf"KVProxy\.traefik_metrics has port {site.port + 1}, which comes into"):
        await site.started(traefik_metrics=site.port + 1, local_replicas=2)
    assert not processes_of(site.directory)


def test_a_traefik_that_others_start_gets_the_same(tmp_path):
    lines = """
c.KVProxy.should_start = False
c.KVProxy.traefik_metrics = "10.0.0.1:8082"
c.KVProxy.traefik_metrics_labels = ["routers"]
c.KVProxy.extra_static_config = {"metrics": {"prometheus": {"buckets": [0.1, 1.0]}}}
"""
    (tmp_path / "jupyterhub_config.py").write_text(command.USES_KVPROXY + lines)
    result = command.run("traefik-config", cwd=tmp_path)
    assert (result.status, result.err) == (0, "")
    static = tomllib.loads(result.out)
    assert static["entryPoints"]["metrics"] == {"address": "10.0.0.1:8082"}
    assert static["metrics"]["prometheus"] == {
        "entryPoint": "metrics",
        "addEntryPointsLabels": False,
        "addRoutersLabels": True,
        "addServicesLabels": False,
        "buckets": [0.1, 1.0],
    }


async def test_the_hubs_own_traefiks_have_the_same_names_after_each_restart(site):
    proxy = await site.started(delivery="push", local_replicas=2)
    names = ("local", "local-2")
    assert [value("kvproxy_replica_up", replica=name) for name in names] == [1, 1]
    urls = [replica.api.url for replica in proxy.control.readiness.replicas]
    await restart_traefik(proxy)
    await until(lambda: value("kvproxy_replica_up", replica="local") == 1, "the first is not up again")
    assert [replica.api.url for replica in proxy.control.readiness.replicas] != urls
    found = {labels["replica"] for labels in series(generate_latest().decode())["kvproxy_replica_up"]}
    assert found == set(names)
    await until(lambda: value("kvproxy_replica_routes", replica="local") is not None, "the first has no plugin")
    assert value("kvproxy_replica_revision", replica="local-2") is not None
