"""Starts and stops of Traefik that are cancelled half-way, and faults in what watches it."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import threading
from contextlib import contextmanager

import pytest

from jhub_kvproxy import TraefikError
from jhub_kvproxy.traefik import supervisor
from jhub_kvproxy.traefik.hang import Hang
from jhub_kvproxy.traefik.ports import is_free
from jhub_kvproxy.traefik.runtime import RuntimeDirectory
from jhub_kvproxy.traefik.state import State
from servers.ports import free_port
from servers.process import freeze
from tests.hub import processes_of, until
from tests.site import leave


def pid_of(proxy):
    return proxy.control.local.supervisors[0]._pid


@contextmanager
def held_up(monkeypatch, owner, name):
    """Holds up the calls of a function of `owner` in their thread; gives an event for the first, and lets them go."""
    begun, may_go_on = threading.Event(), threading.Event()
    work = getattr(owner, name)

    def slow(*arguments, **options):
        begun.set()
        assert may_go_on.wait(60)
        return work(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, slow)
        try:
            yield begun, may_go_on.set
        finally:
            may_go_on.set()


async def cancelled(task, begun, go_on):
    """Cancel `task` once it is where it is held up, more than once, as JupyterHub's end does."""
    await until(begun.is_set, "it does not get there")
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0.05)
    go_on()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("step", ["write", "write_state"])
async def test_a_start_that_is_cancelled_leaves_no_process_and_no_file(site, monkeypatch, step):
    proxy = site.proxy()
    with held_up(monkeypatch, RuntimeDirectory, step) as (begun, go_on):
        await cancelled(asyncio.create_task(proxy.start()), begun, go_on)
    assert not processes_of(site.directory)
    assert not (site.directory / "run").exists()


async def test_a_start_that_is_cancelled_while_it_looks_for_traefik_leaves_that_to_the_next_hub(site, monkeypatch):
    first = await site.started()
    await leave(first)
    second = site.proxy()
    with held_up(monkeypatch, State, "read") as (begun, go_on):
        await cancelled(asyncio.create_task(second.start()), begun, go_on)
    third = await site.started()
    assert pid_of(third) == pid_of(first)


async def test_a_stop_that_is_cancelled_has_stopped_traefik_all_the_same(site, monkeypatch):
    monkeypatch.setattr(supervisor, "_STOP_TIMEOUT", 0.5)
    proxy = await site.started()
    freeze(pid_of(proxy))  # so that it does not end when it is asked to
    stopping = asyncio.create_task(proxy.control.local.stop())
    for _ in range(2):
        await asyncio.sleep(0.05)
        stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert not processes_of(site.directory)
    assert not (site.directory / "run").exists()


async def test_a_traefik_that_cannot_be_written_down_runs_on_until_it_can(site, monkeypatch, caplog):
    """Fake: the disk is full twice."""
    proxy = await site.started()
    write_state, pids = RuntimeDirectory.write_state, []

    def full_twice(self, state):
        pids.append(state.pid)
        if len(pids) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_state(self, state)

    monkeypatch.setattr(RuntimeDirectory, "write_state", full_twice)
    os.kill(pid_of(proxy), signal.SIGKILL)
    state_file = proxy.control.local.supervisors[0]._runtime.state_file
    await until(lambda: len(pids) >= 3 and State.read(state_file).pid == pids[0], "it is not written down")
    assert pid_of(proxy) == pids[0]
    assert set(pids) == {pids[0]}
    assert caplog.text.count("No space left on device") == 1


async def test_a_hub_that_cannot_start_watches_the_traefik_no_more_that_it_found(site):
    while not is_free("127.0.0.1", site.port + 1):
        site.port = free_port()
    first = await site.started()
    await leave(first)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", site.port + 1))
        stranger.listen()
        before = asyncio.all_tasks()
        with pytest.raises(TraefikError, match="another program listens there"):
            await site.started(local_replicas=2)
        assert asyncio.all_tasks() <= before
    third = await site.started()
    assert pid_of(third) == pid_of(first)


async def test_a_fault_of_ours_does_not_end_the_watch(site, monkeypatch, caplog):
    is_over_limit, faults = Hang.is_over_limit, []

    async def faulty(self, session):
        if not faults:
            faults.append(True)
            raise RuntimeError("a fault of ours")
        return await is_over_limit(self, session)

    monkeypatch.setattr(Hang, "is_over_limit", faulty)
    proxy = await site.started()
    await until(lambda: faults, "the watch does not begin")
    pid = pid_of(proxy)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: pid_of(proxy) != pid, "it is not started again")
    assert "a fault of ours" in caplog.text
