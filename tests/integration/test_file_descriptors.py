"""A Traefik, or a hub, that is out of file descriptors."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from jhub_kvproxy.traefik import hang, supervisor
from tests.hub import Hub, answers, until
from tests.site import leave, pid_of

TRAEFIK = str(Path(sys.executable).with_name("traefik"))
FEW = 100
#: A soft limit that a hub can start with.
LOW = 256
#: More connections than that, so that some of them wait to be accepted.
MANY = 150
#: Without bounds, Traefik writes megabytes in each second of the following tests.
MOST_OUTPUT = 20_000


def with_files(soft: int, hard: int) -> list[str]:
    return ["prlimit", f"--nofile={soft}:{hard}", TRAEFIK]


@pytest.fixture
def is_impatient(monkeypatch):
    """A Traefik that does not answer is soon taken for one that hangs."""
    monkeypatch.setattr(hang, "_INTERVAL", 0.1)
    monkeypatch.setattr(hang, "_LIMIT", 2)
    monkeypatch.setattr(hang, "_SPAN", 0.0)


@pytest.fixture
async def crowd(site):
    """Makes as many silent connections as are asked for."""
    async with AsyncExitStack() as stack:

        async def come(count: int) -> None:
            for _ in range(count):
                _, writer = await asyncio.open_connection("127.0.0.1", site.port)
                stack.callback(writer.close)

        yield come


async def is_served(site) -> bool:
    try:
        async with asyncio.timeout(1):
            return await site.client.server("/user/a/x") == "a"
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return False
    finally:
        await site.client.close()


def files_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize(
    "limit", [{"delivery": "push", "header_timeout": 8, "timeout": 3600}, {"delivery": "store", "timeout": 8}]
)
async def test_silent_clients_lock_nobody_out_for_longer_than_the_limit(
    site, crowd, limit, is_impatient, monkeypatch, caplog, capfd
):
    with monkeypatch.context() as at_first:
        # So that it has no open connection when they come.
        at_first.setattr(supervisor, "_WATCH_INTERVAL", 5.0)
        proxy = await site.started(traefik_cmd=with_files(FEW, FEW), **limit)
    await proxy.add_route("/user/a/", await site.server("a"), {})
    pid = pid_of(proxy)
    await crowd(MANY)
    await until(lambda: files_of(pid) == FEW, "there are descriptors left")
    assert not await is_served(site)
    said = f"Traefik (pid {pid}) has used up its {FEW} file descriptors: new connections wait"
    await until(lambda: said in caplog.text, "the hub does not say what is wrong")
    await until(lambda: is_served(site), "users are locked out")
    await until(lambda: f"Traefik (pid {pid}) has file descriptors again" in caplog.text, "it is not said to be over")
    assert pid_of(proxy) == pid
    await proxy.stop()
    output = "".join(capfd.readouterr())
    size = len(output)
    assert size < MOST_OUTPUT
    assert "accept4: too many open files" in output
    assert "lines of Traefik about too many open files are left out" in output


async def test_the_next_hub_waits_for_a_traefik_that_has_none_left(site, crowd, monkeypatch, caplog):
    monkeypatch.setattr(supervisor, "_START_TIMEOUT", 1)
    options = {"traefik_cmd": with_files(FEW, FEW), "timeout": 8}
    first = await site.started(**options)
    pid = pid_of(first)
    await leave(first)
    await crowd(MANY)
    await until(lambda: files_of(pid) == FEW, "there are descriptors left")
    second = await site.started(**options)
    assert pid_of(second) == pid
    assert f"Traefik (pid {pid}) has used up its {FEW} file descriptors: new connections wait" in caplog.text


async def test_a_traefik_that_has_none_left_and_does_nothing_is_replaced(site, crowd, is_impatient, caplog):
    proxy = await site.started(traefik_cmd=with_files(FEW, FEW), timeout=0)
    pid = pid_of(proxy)
    await crowd(MANY)
    await until(lambda: files_of(pid) == FEW, "there are descriptors left")
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: pid_of(proxy) != pid, "it was not replaced")
    assert f"Traefik (pid {pid}) hangs: its API has not answered" in caplog.text


async def test_a_hub_that_has_none_left_ends_no_traefik(site, is_impatient, monkeypatch, caplog):
    with monkeypatch.context() as at_first:
        # So that the hub has no open connection when it first asks.
        at_first.setattr(supervisor, "_WATCH_INTERVAL", 5.0)
        proxy = await site.started()
    pid = pid_of(proxy)
    with no_more_files():
        said = f"The hub cannot ask whether Traefik (pid {pid}) still works, because of an error of its own: Too many"
        await until(lambda: said in caplog.text, "the hub does not say what is wrong")
        await asyncio.sleep(3)
        assert pid_of(proxy) == pid
    await until(lambda: "The hub can ask Traefik again" in caplog.text, "it is not said to be over")
    assert pid_of(proxy) == pid
    assert "hangs" not in caplog.text


@contextmanager
def no_more_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_one = os.open(os.devnull, os.O_RDONLY)
    os.close(next_one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_traefik_uses_as_many_as_the_hard_limit_permits(site):
    proxy = await site.started(traefik_cmd=with_files(FEW, 10 * FEW))
    # Go, which raises it, leaves the last one out.
    assert resource.prlimit(pid_of(proxy), resource.RLIMIT_NOFILE)[0] >= 10 * FEW - 1


async def test_a_crowd_at_the_login_page_does_not_lock_up_a_hub_with_a_low_soft_limit(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(Hub(tmp_path))
        resource.setrlimit(resource.RLIMIT_NOFILE, (LOW, hard))
        try:
            await hub.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(LOW + FEW):
            _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
            stack.callback(writer.close)
            writer.write(b"POST /hub/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nusername=")
        await until(lambda: files_of(hub.traefik_pid) > 2 * LOW, "the crowd does not get in")
        async with asyncio.timeout(30):
            assert await answers(hub.url + "/hub/login")
        assert "Too many open files" not in hub.log
