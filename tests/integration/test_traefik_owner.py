"""Which hub a Traefik belongs to: the one whose lease is newer; and how it is found if nothing says so."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest

from jhub_kvproxy import LeaseHeld, procfs
from jhub_kvproxy.traefik.state import State
from tests.child import child
from tests.hub import processes_of, until
from tests.site import comes_back, leave

LEASE = 1.0


def pid_of(proxy):
    return proxy.control.local.supervisors[0]._pid


def is_alive(pid):
    return procfs.start_time(pid) is not None


def state_of(site):
    return State.read(site.directory / "run" / "traefik.json")


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_hub_that_was_paused_leaves_its_traefik_to_the_hub_that_took_over(site, delivery):
    """It neither ends it, nor starts another when that has died, nor gives it its own table, which is older."""
    traits = {"lease_seconds": LEASE, "delivery": delivery}
    async with child(site, **traits, ready_timeout=3 * LEASE) as first:
        await first.call("start")
        await first.call("add_route", "/user/a/", await site.server("a"), {})
        first.pause()
        second = await site.started(**traits)
        assert second.control.local.supervisors[0].is_adopted
        adopted = pid_of(second)
        assert state_of(site).pid == adopted
        await second.add_route("/user/b/", await site.server("b"), {})
        first.go_on()
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"^Lease(Held|Lost): "):
                await first.call("add_route", "/user/c/", await site.server("c"), {})
            assert await comes_back(site, "/user/b/")
            if pid_of(second) == adopted:
                os.kill(adopted, signal.SIGKILL)
                await until(lambda: comes_back(site, "/user/b/"), "it is not started again")
        await first.call("stop")
        assert is_alive(pid_of(second))
        assert state_of(site).pid == pid_of(second) != adopted
        assert await comes_back(site)
        await second.stop()
        assert not (site.directory / "run").exists()


async def test_a_hub_that_has_its_lease_again_takes_its_traefik_back(site):
    """One that the other hub started and left."""
    traits = {"lease_seconds": LEASE, "delivery": "push"}
    async with child(site, **traits) as first:
        await first.call("start")
        await first.call("add_route", "/user/a/", await site.server("a"), {})
        first.pause()
        second = await site.started(**traits)
        adopted = pid_of(second)
        os.kill(adopted, signal.SIGKILL)
        await until(lambda: pid_of(second) != adopted and comes_back(site), "it is not started again")
        term = state_of(site).term
        assert term == second.control.writer.revision.term
        first.go_on()
        await leave(second)
        await until(lambda: state_of(site).term > term, "it is not taken back")
        assert state_of(site).pid == pid_of(second)
        assert await comes_back(site)
        await first.call("add_route", "/user/b/", await site.server("b"), {})
        assert await comes_back(site, "/user/b/")
        os.kill(pid_of(second), signal.SIGKILL)
        await until(lambda: comes_back(site), "it is not started again")
        await first.call("stop")
        assert not (site.directory / "run").exists()


async def test_a_hub_without_the_lease_cannot_take_a_traefik_from_a_newer_one(site):
    """As one does that was paused between the store and Traefik."""
    first = site.proxy(lease_seconds=LEASE)
    await first.control.open()
    await first.control.guard.close()  # it renews nothing
    second = site.proxy(lease_seconds=LEASE)
    await second.start()
    with pytest.raises(LeaseHeld):
        await first.start()
    assert is_alive(pid_of(second))
    assert state_of(site).term == second.control.writer.revision.term


async def test_a_hub_with_the_lease_and_a_clock_that_is_behind_gets_the_traefik_of_the_one_before(site):
    first = await site.started()
    await leave(first)
    file = site.directory / "run" / "traefik.json"
    ahead = state_of(site).term + 10**6
    state = json.loads(file.read_text()) | {"term": ahead}
    del state["sha256"]
    file.write_text(json.dumps(state))
    second = await site.started()
    assert pid_of(second) == pid_of(first)
    assert state_of(site).term == second.control.writer.revision.term > ahead
    await second.stop()
    assert not is_alive(pid_of(first))


def spoil(file, damage):
    content = file.read_bytes()
    if damage == "bit":
        file.write_bytes(content.replace(b'"api_port": ', b'"api_port": 1', 1))
    elif damage == "half":
        file.write_bytes(content[: len(content) // 2])
    else:
        file.unlink()


@pytest.mark.parametrize("damage", ["bit", "half", "gone"])
async def test_a_traefik_whose_state_file_is_damaged_or_gone_is_found(site, caplog, damage):
    first = await site.started()
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    file = site.directory / "run" / "traefik.json"
    spoil(file, damage)
    caplog.clear()
    second = await site.started()
    assert pid_of(second) == pid_of(first)
    assert any(f"{file} is" in line and f"pid {pid_of(first)}" in line for line in caplog.messages)
    assert await comes_back(site)
    assert state_of(site).pid == pid_of(first)
    await second.stop()
    assert not (site.directory / "run").exists()


@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_traefik_whose_files_are_all_gone_is_replaced(site, caplog, delivery):
    first = await site.started(delivery=delivery)
    await first.add_route("/user/a/", await site.server("a"), {})
    await leave(first)
    shutil.rmtree(site.directory / "run")
    second = await site.started(delivery=delivery)
    assert not is_alive(pid_of(first))
    assert any(line.startswith("Replacing Traefik") for line in caplog.messages)
    await until(lambda: comes_back(site), "its routes do not come back")
    assert set(processes_of(site.directory)) == {pid_of(second)}
