"""Whatever ends the opening of a hub, or its start, leaves nothing behind. On a store in memory, without Traefik."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from uuid import uuid4

import pytest
from aiohttp import web
from traitlets.config import Config

from jhub_kvproxy import BackendUnavailable, KVProxyError, LeaseHeld, RouteNotReady, TraefikError
from jhub_kvproxy.hub import control as control_module
from jhub_kvproxy.hub.gauges import GAUGES
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.push.keepers import Keepers
from jhub_kvproxy.testing import MemoryBackend
from servers.ports import free_port
from tests.hub import until
from tests.hubs_in_memory import ReadableBackend

TARGET = "http://127.0.0.1:1"


class Store(ReadableBackend):
    """Changes and reads of it do not come back while its gate is shut."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gate, self.arrived = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def apply(self, batch):
        await self._pass()
        await super().apply(batch)

    async def load(self):
        await self._pass()
        return await super().load()

    async def _pass(self):
        self.arrived.set()
        await self.gate.wait()


@asynccontextmanager
async def fake_traefik():
    """Tells its version, which can be changed, and nothing else."""
    traefik = SimpleNamespace(version="3.7.99", url=f"http://127.0.0.1:{(port := free_port())}")

    async def answer(request):
        if request.path == "/api/version":
            return web.json_response({"Version": traefik.version})
        return web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield traefik
    finally:
        await runner.cleanup()


@pytest.fixture
async def traefik():
    async with fake_traefik() as fake:
        yield fake


@pytest.fixture(params=["push", "store"])
def delivery(request):
    return request.param


@pytest.fixture
async def site(delivery, traefik):
    """A hub with all parts that there are, and what it may leave behind."""
    api_port, name = free_port(), uuid4().hex
    chosen = {
        "backend_class": Store,
        "delivery": delivery,
        "should_start": False,
        "traefik_api_urls": [traefik.url],
        "activity": True,
        "agent_urls": [traefik.url],
        "agent_token": "x",
        "rest_api_port": api_port,
        "rest_api_token": "x",
    }

    def new(**traits):
        should_start = {**chosen, **traits}.pop("should_start")
        config = Config({"KVProxy": {**chosen, **traits}, "MemoryBackend": {"name": name}})
        del config.KVProxy["should_start"]
        return KVProxy(config=config, should_start=should_start)

    table = MemoryBackend(name=name, prefix="jupyterhub")._table
    tasks, sources = asyncio.all_tasks(), set(GAUGES.sources)

    async def is_left_alone():
        """There is no task, no lease, no watch, no metric and no listener of a hub."""
        for _ in range(5):  # what closes a connection
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - tasks - {asyncio.current_task()}
        left = {task for task in others if "RequestHandler" not in repr(task)}
        assert not left
        assert table.lease is None
        assert not table.watchers
        assert GAUGES.sources == sources
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", api_port))

    return SimpleNamespace(new=new, table=table, api_port=api_port, is_left_alone=is_left_alone)


async def works(hub, site):
    """It can be opened, and then closed."""
    assert await hub.get_all_routes() == {}
    assert site.table.lease
    await hub.control.close()
    await site.is_left_alone()


class Surprise(Exception):
    """None of our errors."""


def raises(error):
    def fail(*_, **__):
        raise error

    return fail


async def port_is_taken(site, traefik, patch):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", site.api_port)

    async def free():
        server.close()
        await server.wait_closed()

    return free


async def traefik_is_too_old(site, traefik, patch):
    traefik.version = "2.0.0"

    async def upgraded():
        traefik.version = "3.7.99"

    return upgraded


def patched(owner, name, error):
    async def fails(site, traefik, patch):
        patch.setattr(owner, name, raises(error))

        async def mended():
            patch.undo()

        return mended

    fails.__name__ = f"{name}-{type(error).__name__}"
    return fails


FAULTS = [
    (port_is_taken, KVProxyError),
    (traefik_is_too_old, TraefikError),
    (patched(control_module.Discovery, "find", TraefikError("That is no URL.")), TraefikError),
    (patched(control_module.Discovery, "find", Surprise()), Surprise),
    (patched(control_module.Discovery, "follow", Surprise()), Surprise),
    (patched(control_module.RESTAPI, "start", Surprise()), Surprise),
    (patched(control_module.Guard, "start", Surprise()), Surprise),
    (patched(control_module, "Source", Surprise()), Surprise),
    (patched(Store, "open", BackendUnavailable("It is away.")), BackendUnavailable),
    (patched(Store, "apply", Surprise()), Surprise),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
async def test_a_hub_that_cannot_be_opened_leaves_nothing_behind(site, traefik, monkeypatch, fault, error):
    hub = site.new(store_timeout=0)
    mend = await fault(site, traefik, monkeypatch)
    for _ in range(3):
        with pytest.raises(error):
            await hub.get_all_routes()
        if fault is not port_is_taken:
            await site.is_left_alone()
        assert site.table.lease is None
    await mend()
    await works(hub, site)


async def test_an_opening_that_is_cancelled_at_any_moment_leaves_nothing_behind(site):
    hub, steps, is_open = site.new(), 0, False
    while not is_open:
        site.table.keys.clear()
        opening = asyncio.create_task(hub.control.open())
        for _ in range(steps):
            await asyncio.sleep(0)
        is_open = opening.done()
        if not is_open:
            opening.cancel()
            with suppress(asyncio.CancelledError):
                await opening
            assert not hub.control.is_open
            await site.is_left_alone()
        steps += 1 + steps // 20
    await works(hub, site)


async def test_a_second_caller_opens_the_hub_when_the_first_is_cancelled(site):
    hub = site.new()
    hub.backend.gate.clear()
    first = asyncio.create_task(hub.get_all_routes())
    await hub.backend.arrived.wait()
    second = asyncio.create_task(hub.get_all_routes())
    await asyncio.sleep(0)
    first.cancel()
    hub.backend.gate.set()
    assert await second == {}
    await works(hub, site)


async def test_a_hub_whose_tasks_are_cancelled_at_once_leaves_nothing_behind(site):
    """As JupyterHub does at its end."""
    before = asyncio.all_tasks()
    hub = site.new()
    await hub.control.open()
    tasks = asyncio.all_tasks() - before
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await site.is_left_alone()


async def test_a_call_that_is_under_way_when_the_hub_ends_does_not_use_the_store_any_more(site):
    """Otherwise it takes the lease again, which nobody gives up then."""
    hub = site.new()
    await hub.get_all_routes()
    hub.control.stored.in_doubt = True
    hub.backend.gate.clear()
    hub.backend.arrived.clear()
    calls = [asyncio.create_task(hub.get_all_routes()) for _ in range(2)]
    await hub.backend.arrived.wait()
    stopping = asyncio.create_task(hub.stop())
    while not hub.control.writer._closing.is_set():
        await asyncio.sleep(0)
    hub.backend.gate.set()
    await stopping
    under_way, later = await asyncio.gather(*calls, return_exceptions=True)
    assert under_way == {}
    assert "has closed its store" in str(later)
    await site.is_left_alone()
    await works(hub, site)


async def test_a_close_that_is_cancelled_closes_all_the_same(site):
    hub = site.new()
    await hub.get_all_routes()
    hub.backend.gate.clear()
    hub.backend.arrived.clear()
    adding = asyncio.create_task(hub.add_route("/user/a/", TARGET, {}))
    await hub.backend.arrived.wait()
    closing = asyncio.create_task(hub.control.close())
    while not hub.control.writer._closing.is_set():
        await asyncio.sleep(0)
    closing.cancel()
    with suppress(asyncio.CancelledError):
        await closing
    hub.backend.gate.set()
    await asyncio.wait([adding])
    await site.is_left_alone()
    await works(hub, site)


class Local:
    """Traefiks that are started by themselves, one of which was there before."""

    def __init__(self):
        self.apis, self.running = [], {"of an earlier hub"}

    async def start(self, launch):
        self.running.add("new")
        try:
            await asyncio.sleep(0)
        except BaseException:
            await self.stop(keep_adopted=True)
            raise

    async def stop(self, *, keep_adopted=False):
        self.running &= {"of an earlier hub"} if keep_adopted else set()


@pytest.mark.parametrize("error", [Surprise(), TypeError(), RouteNotReady("No."), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("place", ["launch_of", "start", "check_versions", "wait"])
async def test_a_start_that_fails_ends_what_it_started_and_nothing_else(site, monkeypatch, place, error):
    hub = site.new(should_start=True, activity=False, agent_urls=[])
    control = hub.control
    local = control.local = Local()

    async def nothing(*_):
        return SimpleNamespace(renewal=None)

    monkeypatch.setattr(control_module, "launch_of", nothing)
    with monkeypatch.context() as patch:
        owner = {"start": local, "wait": control.readiness}.get(place, control_module)
        patch.setattr(owner, place, raises(error))
        for _ in range(3):
            with pytest.raises(type(error)):
                await hub.start()
            assert local.running == {"of an earlier hub"}
            await site.is_left_alone()
    await hub.start()
    assert local.running == {"of an earlier hub", "new"}
    await hub.stop()
    assert not local.running
    await site.is_left_alone()


async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing_behind(site, monkeypatch):
    hub, steps, is_done = site.new(should_start=True, activity=False, agent_urls=[]), 0, False
    local = hub.control.local = Local()

    async def nothing(*_):
        await asyncio.sleep(0)
        return SimpleNamespace(renewal=None)

    monkeypatch.setattr(control_module, "launch_of", nothing)
    while not is_done:
        starting = asyncio.create_task(hub.start())
        for _ in range(steps):
            await asyncio.sleep(0)
        is_done = starting.done()
        if not is_done:
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            assert local.running == {"of an earlier hub"}
            await site.is_left_alone()
        steps += 1 + steps // 20
    await hub.stop()
    await site.is_left_alone()


async def test_a_stop_that_cannot_end_traefik_gives_up_the_lease(site, monkeypatch):
    hub = site.new(should_start=True, activity=False, agent_urls=[])
    hub.control.local = Local()
    await hub.get_all_routes()
    monkeypatch.setattr(hub.control.local, "stop", raises(OSError("It cannot be removed.")))
    with pytest.raises(OSError, match="removed"):
        await hub.stop()
    await site.is_left_alone()


@pytest.mark.parametrize("end", ["close", "stop"])
async def test_a_store_that_cannot_be_closed_does_not_keep_the_hub_alive(site, monkeypatch, caplog, end):
    """JupyterHub does not end after a stop() that fails."""
    hub = site.new(should_start=True, activity=False, agent_urls=[])
    hub.control.local = Local()
    await hub.get_all_routes()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "close", raises(BackendUnavailable("Its disk is read-only.")))
        await getattr(hub.control, end)()
    assert "The store was not closed in order. Its disk is read-only." in caplog.text
    assert not hub.control.is_open
    await works(hub, site)


async def test_a_store_that_cannot_be_closed_does_not_hide_why_the_start_failed(site, monkeypatch):
    hub = site.new(should_start=True, activity=False, agent_urls=[])
    monkeypatch.setattr(control_module, "launch_of", raises(TraefikError("It is too old.")))
    with monkeypatch.context() as patch:
        patch.setattr(Store, "close", raises(BackendUnavailable("Its disk is read-only.")))
        with pytest.raises(TraefikError, match="too old"):
            await hub.start()
    await works(hub, site)


async def test_a_replica_that_cannot_be_looked_after_is_down_until_it_is_tried_again(site, monkeypatch, caplog):
    """Whatever the fault in our own program is, changes of routes do not wait for what nobody looks at."""
    hub = site.new()
    with monkeypatch.context() as patch:
        patch.setattr(Keepers, "_check_version", raises(KeyError("surprise")))
        await hub.get_all_routes()
        await until(lambda: "failed, and is tried again in 1 s" in caplog.text, "nothing is logged")
        assert "cannot be looked after (KeyError('surprise'))" in caplog.text
        await hub.delete_route("/user/a/")
    tried = []
    monkeypatch.setattr(Keepers, "_check_version", lambda *_: asyncio.sleep(0, tried.append(True)))
    await until(lambda: tried, "it is not tried again")
    await hub.control.close()
    await site.is_left_alone()


async def test_a_second_hub_is_told_who_has_the_lease_after_failed_openings(site, traefik):
    hub = site.new(when_lease_held="fail", lease_seconds=1)
    await hub.get_all_routes()
    with pytest.raises(LeaseHeld):
        await site.new(when_lease_held="fail", lease_seconds=1, rest_api_port=0).get_all_routes()
    await works(hub, site)
