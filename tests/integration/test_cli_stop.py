"""``jhub-kvproxy stop``: ends the Traefik that no hub owns, and no other."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from jhub_kvproxy import procfs
from jhub_kvproxy.aio import in_thread
from jhub_kvproxy.traefik.left import Left
from jhub_kvproxy.traefik.runtime import RuntimeDirectory
from jhub_kvproxy.traefik.state import State
from jhub_kvproxy_backends import _kubernetes_lease
from servers.ports import free_port, is_free
from tests.child import child
from tests.command import ended, start
from tests.hub import until
from tests.site import comes_back, leave, pid_of
from tests.stores import on_every_store
from tests.tools import begin, looked_at, told

LEASE = 1


def is_alive(pid):
    return procfs.start_time(pid) is not None


@on_every_store
@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_one_that_a_hub_has_left(site, tmp_path, delivery):
    async with looked_at(site, delivery, lease_seconds=LEASE) as looked:
        await begin(looked)
        await looked.proxy.add_route("/user/a/", await site.server("a"), {})
        pid = pid_of(looked.proxy)
        refused = await looked.change("stop")
        assert (refused.status, refused.out) == (1, "")
        assert "The hub with process" in refused.err
        assert f"end that one first. If no hub runs, end Traefik by hand: kill {pid}\n" in refused.err
        assert await site.client.server("/user/a/") == "a"

        await leave(looked.proxy)
        done = await looked.change("stop")
        assert done.status == 0
        assert done.out == f"Traefik local (pid {pid}) has ended.\n"
        assert not is_alive(pid)
        assert not (tmp_path / "run").exists()
        assert not list(tmp_path.rglob("kvproxy-base.toml"))
        # The table stays.
        assert len((await looked.tell("routes", "--json")).json["routes"]) == 1
        again = await looked.change("stop", "--json")
        assert (again.status, again.json) == (0, {"directory": str(tmp_path / "run"), "ended": []})
        assert "No Traefik of this user runs in" in (await looked.change("stop")).out


@pytest.mark.parametrize("store", ["kubernetes"], indirect=True)
async def test_a_hub_whose_clock_is_far_behind(site, monkeypatch):
    """By the wall clock of this machine, that hub should have renewed the lease long ago."""
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await begin(looked)
        monkeypatch.setattr(_kubernetes_lease, "_CLOCKS_DIFFER", -3600.0)
        refused = await looked.change("stop")
        assert (refused.status, refused.out) == (1, "")
        assert "end that one first" in refused.err
        assert is_alive(pid_of(looked.proxy))


async def test_after_the_hub_was_killed(site, tmp_path):
    """Its lease lasts for a while, and the command waits for that."""
    async with looked_at(site, "push", lease_seconds=15) as looked:
        async with child(site, lease_seconds=15, delivery="push") as hub:
            await hub.call("start")
            await hub.call("add_route", "/user/a/", await site.server("a"), {})
            await hub.kill()
            assert await comes_back(site)
            done = await looked.change("stop", "--json")
        assert done.status == 0
        assert "Waiting for up to 16 s" in done.err
        [pid] = done.json["ended"]
        assert not is_alive(pid)
        assert not (tmp_path / "run").exists()


async def test_several(site, tmp_path):
    while not all(map(is_free, (site.port + 1, site.port + 2))):
        site.port = free_port()
    async with looked_at(site, "push", lease_seconds=LEASE, local_replicas=3) as looked:
        await begin(looked)
        pids = [each._pid for each in looked.proxy.control.local.supervisors]
        await leave(looked.proxy)
        os.kill(pids[1], signal.SIGKILL)
        done = await looked.change("stop", "--json", "--KVProxy.local_replicas=1")
        assert sorted(done.json["ended"]) == sorted([pids[0], pids[2]])
        assert not any(map(is_alive, (pids[0], pids[2])))
        assert not (tmp_path / "run").exists()


def is_told_to_end(pid):
    """Whether SIGTERM waits for a process that is stopped."""
    [pending] = re.findall(r"^ShdPnd:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(pending, 16) >> (signal.SIGTERM - 1) & 1


async def left_pids(looked):
    """A hub starts its Traefiks, and leaves them; their processes."""
    await begin(looked)
    pids = [each._pid for each in looked.proxy.control.local.supervisors]
    await leave(looked.proxy)
    return pids


@pytest.mark.parametrize("words", [[], ["--json"]])
async def test_one_that_a_hub_takes_over_meanwhile(site, tmp_path, monkeypatch, words):
    """The others are ended, and the command says which."""
    while not all(map(is_free, (site.port + 1, site.port + 2))):
        site.port = free_port()
    directory = tmp_path / "run"
    real = Left.end

    def end(left):
        """With a hub that takes over the second Traefik at this moment."""
        if left.pid == pids[1]:
            state = State.read(directory / "replica-2" / "traefik.json")
            RuntimeDirectory(directory / "replica-2").write_state(replace(state, term=state.term + 1))
        real(left)

    async with looked_at(site, "push", lease_seconds=LEASE, local_replicas=3) as looked:
        pids = await left_pids(looked)
        monkeypatch.setattr(Left, "end", end)
        try:
            result = await looked.change("stop", *words)
            assert result.status == 1
            assert "Traefik local-2: A hub has just taken over" in result.err
            if words:
                assert result.json == {"directory": str(directory), "ended": [pids[2], pids[0]]}
            else:
                assert [line.split()[1] for line in result.out.splitlines()] == ["local-3", "local"]
            assert [*map(is_alive, pids)] == [False, True, False]
        finally:
            os.kill(pids[1], signal.SIGKILL)


async def test_an_interruption(site, tmp_path):
    """The command ends the Traefik that it has begun with, no other, and says so."""
    while not is_free(site.port + 1):
        site.port = free_port()
    async with looked_at(site, "push", lease_seconds=LEASE, local_replicas=2) as looked:
        pids = await left_pids(looked)
        os.kill(pids[1], signal.SIGSTOP)
        stopping = start("stop", "--json", "--config", looked.file)
        try:
            await until(lambda: is_told_to_end(pids[1]), "the command ends nothing")
            stopping.send_signal(signal.SIGINT)
            os.kill(pids[1], signal.SIGCONT)
            result = await in_thread(ended, stopping)
            assert result.status == 1
            assert result.json["ended"] == [pids[1]]
            assert [*map(is_alive, pids)] == [True, False]
        finally:
            stopping.kill()
            os.kill(pids[0], signal.SIGKILL)


async def test_one_whose_state_file_is_lost_or_tells_of_another(site, tmp_path):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await begin(looked)
        pid = pid_of(looked.proxy)
        await leave(looked.proxy)
        (tmp_path / "run" / "traefik.json").write_text(f'{{"pid": {os.getpid()}, "api_port": 1}}')
        done = await looked.change("stop", "--json")
        assert done.json["ended"] == [pid]
        assert not is_alive(pid)
        assert not (tmp_path / "run").exists()


async def test_files_of_others_stay(site, tmp_path):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await begin(looked)
        await leave(looked.proxy)
        mine = tmp_path / "run" / "mine"
        mine.write_text("")
        assert (await looked.change("stop")).status == 0
        assert list((tmp_path / "run").rglob("*")) == [mine]


async def test_nobody_knows_whether_a_hub_runs(site, tmp_path):
    async with looked_at(site, "push", lease_seconds=LEASE) as looked:
        await begin(looked)
        pid = pid_of(looked.proxy)
        await leave(looked.proxy)
        by_hand = f"If no hub runs, end Traefik by hand: kill {pid}\n"
        for options, sentence in (
            (
                ["--KVProxy.lease_seconds=0"],
                "There is no lease (KVProxy.lease_seconds), so nobody knows whether a hub runs.",
            ),
            (["--KVProxy.backend_class=etcd", "--EtcdBackend.urls=http://127.0.0.1:1"], "http://127.0.0.1:1"),
        ):
            result = await looked.change("stop", *options)
            assert (result.status, result.out) == (1, "")
            assert sentence in result.err
            assert by_hand in result.err
        assert is_alive(pid)
        # With the table gone, nobody has the lease.
        (tmp_path / "table").rename(tmp_path / "gone")
        assert (await looked.change("stop")).status == 0
        assert not is_alive(pid)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--KVProxy.should_start=False"], 1, "the hub starts no Traefik, and whoever does ends it"),
        (["--KVProxy.delivery=agent"], 1, "the agents start Traefik, and end it"),
        (["now"], 2, "unexpected argument 'now'"),
    ],
)
async def test_wrong_input(words, status, message):
    result = await told("stop", *words)
    assert (result.status, result.out) == (status, "")
    assert message in result.err
