"""Several Traefiks that the hub starts, and faults of one that it has started."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik import hang, supervisor
from servers.ports import free_port, is_free
from servers.process import freeze
from tests.hub import processes_of, until
from tests.replicas import served_at
from tests.site import leave


@pytest.fixture
def many(site):
    """A site that has the two ports after its own, too."""
    while not all(map(is_free, (site.port + 1, site.port + 2))):
        site.port = free_port()
    return site


def pids(proxy):
    return [each._pid for each in proxy.control.local.supervisors]


async def served_everywhere(site, path, count=3):
    return [await served_at(site.port + number, path) for number in range(count)]


@pytest.mark.parametrize("store", ["toml", "etcd"], indirect=True)
async def test_three_local_replicas_live_through_their_deaths_and_their_hubs(many, caplog):
    caplog.set_level("INFO")
    first = await many.started(local_replicas=3)
    server = await many.server("a")
    await first.add_route("/user/a/", server, {})
    assert await served_everywhere(many, "/user/a/") == ["a"] * 3
    assert f"3 Traefiks serve the ports {many.port}, {many.port + 1}, {many.port + 2}" in caplog.text
    before = pids(first)
    os.kill(before[1], signal.SIGKILL)
    await first.add_route("/user/b/", server, {})
    assert [await served_at(many.port + n, "/user/b/") for n in (0, 2)] == ["a", "a"]
    await until(lambda: pids(first)[1] != before[1], "the dead one is not started again")

    async def again():
        return await served_at(many.port + 1, "/user/b/") == "a"

    await until(again, "the new one does not serve the table")
    assert [pids(first)[0], pids(first)[2]] == [before[0], before[2]]

    await leave(first)
    second = await many.started(local_replicas=3)
    assert pids(second) == pids(first)
    await second.add_route("/user/c/", server, {})
    assert await served_everywhere(many, "/user/c/") == ["a"] * 3
    await leave(second)
    third = await many.started(local_replicas=1)
    assert pids(third) == pids(first)[:1]
    assert await served_everywhere(many, "/user/c/") == ["a", None, None]
    assert not (many.directory / "run" / "replica-2").exists()
    await third.stop()
    assert not processes_of(many.directory)
    assert not (many.directory / "run").exists()


async def test_a_stranger_on_one_of_the_ports_ends_the_start(many):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", many.port + 1))
        stranger.listen()
        with pytest.raises(TraefikError, match=rf"port {many.port + 1} of 127\.0\.0\.1: another program listens"):
            await many.started(local_replicas=3)
    assert not processes_of(many.directory)


async def test_one_address_for_all_is_refused(site):
    extra = {"entryPoints": {"public": {"address": f"127.0.0.1:{site.port}"}}}
    with pytest.raises(TraefikError, match=r"'public' the address .* which 2 Traefiks cannot share"):
        await site.started(local_replicas=2, extra_static_config=extra)
    assert not processes_of(site.directory)


async def test_a_traefik_that_hangs_is_replaced(site, caplog, monkeypatch):
    monkeypatch.setattr(hang, "_INTERVAL", 0.1)
    monkeypatch.setattr(hang, "_LIMIT", 2)
    monkeypatch.setattr(hang, "_SPAN", 1.0)
    proxy = await site.started()
    await proxy.add_route("/user/a/", await site.server("a"), {})
    [pid] = pids(proxy)
    freeze(pid)
    await until(lambda: pids(proxy) != [pid], "it was not replaced")
    assert f"Traefik (pid {pid}) hangs: its API has not answered 2 times in a row, for " in caplog.text

    async def served():
        return await served_at(site.port, "/user/a/") == "a"

    await until(served, "the new one does not serve the table")


async def test_a_port_that_is_taken_while_traefik_is_away_is_named_until_itis_free(site, caplog, monkeypatch):
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF", 0.5)
    proxy = await site.started()
    await proxy.add_route("/user/a/", await site.server("a"), {})
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(pids(proxy)[0], signal.SIGKILL)
        await until(lambda: _takes(stranger, site.port), "the port does not become free")
        why = f"port {site.port} of 127.0.0.1: another program listens there"
        await until(lambda: why in caplog.text, "nothing is said of the port")

    async def served():
        return await served_at(site.port, "/user/a/") == "a"

    await until(served, "Traefik does not come back to its port")


def _takes(stranger, port):
    try:
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
    except OSError:
        return False
    return True
