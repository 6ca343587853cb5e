"""The lease, the watch and the faults of a store, in all orders: on a store in memory, without Traefik."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import ClassVar
from uuid import uuid4

import pytest
from traitlets.config import Config

from jhub_kvproxy import BackendRejected, BackendUnavailable, Batch, LeaseHeld, LeaseLost
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.routing.records import REVISION, TRAEFIK_REVISION
from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.testing import MemoryBackend
from tests.hub import until

TARGET = "http://127.0.0.1:1"
PREFIX = "jupyterhub"
LONG = 600.0


class Store(MemoryBackend):
    """Counts reads; away while `is_away`, with or without the change being made; shuts a `gate` before changes."""

    reads = 0
    is_away = False
    ends_watches = False
    makes_changes = False
    error: ClassVar[type[Exception]] = BackendUnavailable

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()

    def _fail(self):
        if self.is_away:
            raise self.error("The store is away.")

    async def open(self):
        self._fail()

    async def load(self):
        self.reads += 1
        self._fail()
        return await super().load()

    async def apply(self, batch):
        self.arrived.set()
        await self.gate.wait()
        if not self.is_away or self.makes_changes:
            await super().apply(batch)
        self._fail()

    async def acquire_lease(self, holder, ttl):
        self._fail()
        await super().acquire_lease(holder, ttl)

    async def watch(self):
        self._fail()
        table, changed = self._table, asyncio.Event()
        table.watchers.add(changed)
        try:
            while not self.ends_watches:
                changed.clear()
                yield
                await changed.wait()
        finally:
            table.watchers.discard(changed)
        raise BackendUnavailable("The watch is over.")


def revision_key(keys):
    """Which of the two it is, by how Traefik gets the table."""
    return REVISION if REVISION in keys else TRAEFIK_REVISION


@pytest.fixture(params=["push", "store"])
async def hubs(request):
    """Makes hubs on one store, and sees to it that they leave no task behind."""
    name, made = uuid4().hex, []

    def new(**traits):
        config = Config(
            {"KVProxy": {"backend_class": Store, "delivery": request.param, **traits}, "MemoryBackend": {"name": name}}
        )
        hub = KVProxy(config=config)
        made.append(hub)
        return hub

    yield SimpleNamespace(new=new, table=MemoryBackend(name=name, prefix=PREFIX)._table, name=name)
    for hub in made:
        await hub.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def names(table):
    return {key.removeprefix("routes/p.") for key in table.keys if key.startswith("routes/")}


async def hold(hubs, holder="another hub"):
    """Another writer, who has taken the lease from whoever had it."""
    hubs.table.lease = None
    other = MemoryBackend(name=hubs.name, prefix=PREFIX)
    await other.acquire_lease(holder, LONG)
    return other


def wake(table):
    """As somebody else's change does."""
    for watcher in table.watchers:
        watcher.set()


async def is_quiet(hub):
    """Whether it has nothing to compare."""
    await asyncio.sleep(0)
    return not hub._guard._changed.is_set() and not hub._writer._io.locked()


async def test_a_second_hub_waits_for_the_first_and_takes_over_its_table(hubs, caplog):
    first, second = hubs.new(), hubs.new()
    await first.add_route("/user/a/", TARGET, {})
    waiting = asyncio.create_task(second.add_route("/user/b/", TARGET, {}))
    await until(lambda: "Waiting until this hub may write" in caplog.text, "nothing is said")
    assert "The hub with process " in caplog.text
    assert " since " in caplog.text
    assert names(hubs.table) == {"user.a"}
    await first.add_route("/user/c/", TARGET, {})
    await first.stop()
    await waiting
    assert names(hubs.table) == {"user.a", "user.b", "user.c"}


async def test_a_second_hub_fails_if_told_so(hubs):
    first, second = hubs.new(lease_seconds=0.2), hubs.new(when_held="fail", lease_seconds=0.2)
    await first.get_all_routes()
    with pytest.raises(LeaseHeld, match="The hub with process"):
        await second.get_all_routes()
    await first.stop()
    assert await second.get_all_routes() == {}


async def test_a_hub_that_fails_if_told_so_outlasts_the_lease_of_a_dead_one(hubs):
    dead = MemoryBackend(name=hubs.name, prefix=PREFIX)
    await dead.acquire_lease("a dead hub", 0.5)
    assert await hubs.new(when_held="fail", lease_seconds=0.5).get_all_routes() == {}


async def test_without_a_lease_nobody_waits(hubs):
    first, second = hubs.new(lease_seconds=0), hubs.new(lease_seconds=0)
    await first.add_route("/user/a/", TARGET, {})
    await second.add_route("/user/b/", TARGET, {})
    assert (await first.get_all_routes()).keys() == {"/user/a/", "/user/b/"}
    assert hubs.table.lease is None


async def test_a_hub_without_its_lease_changes_nothing_and_then_takes_over_what_the_other_left(hubs):
    hub = hubs.new(ready_timeout=0.3, lease_seconds=0.3)
    await hub.add_route("/user/a/", TARGET, {})
    other = await hold(hubs)
    before = dict(hubs.table.keys)
    for call in (hub.add_route("/user/b/", TARGET, {}), hub.delete_route("/user/a/")):
        with pytest.raises((LeaseHeld, LeaseLost), match=r"given up after 0\.3 s"):
            await call
    assert hubs.table.keys == before
    hub.ready_timeout = LONG
    waiting = asyncio.create_task(hub.add_route("/user/b/", TARGET, {}))
    theirs = Route("/user/z/", TARGET, {})
    revision = hub._writer.revision.found(hub._writer.revision.text).next()
    await other.apply(Batch({"routes/p.user.a": None, f"routes/{theirs.name}": theirs.to_record()}))
    await other.apply(Batch({revision_key(before): revision.text.replace(revision.writer, "another")}))
    with pytest.raises(LeaseHeld, match="another hub"):
        await hub.get_all_routes()
    await other.release_lease()
    await waiting
    assert names(hubs.table) == {"user.b", "user.z"}
    assert (await hub.get_all_routes()).keys() == {"/user/b/", "/user/z/"}
    assert hub._writer.table.drift(hubs.table.keys) == {}


async def test_a_lease_that_ran_out_and_that_nobody_took_changes_nothing(hubs):
    """As when the hub was stopped for a minute."""
    hub = hubs.new(lease_seconds=LONG)
    await hub.add_route("/user/a/", TARGET, {})
    hubs.table.lease = None
    hub._lease.lost()
    hubs.table.keys.clear()
    await hub.add_route("/user/b/", TARGET, {})
    assert names(hubs.table) == {"user.a", "user.b"}


async def test_a_change_that_was_under_way_when_the_lease_was_lost_is_not_mixed_in(hubs):
    hub = hubs.new(lease_seconds=0.3)
    await hub.add_route("/user/a/", TARGET, {})
    hub._backend.gate.clear()
    hub._backend.arrived.clear()
    waiting = asyncio.create_task(hub.add_route("/user/b/", TARGET, {}))
    await hub._backend.arrived.wait()
    other = await hold(hubs)
    hub._backend.gate.set()
    await until(lambda: not hub._lease.is_held, "the loss is not noticed")
    assert names(hubs.table) == {"user.a"}
    await other.release_lease()
    await waiting
    assert names(hubs.table) == {"user.a", "user.b"}


def emptied(keys, backup):
    keys.clear()


def emptied_by_hand(keys, backup):
    for key in list(keys):
        if key.startswith("routes/"):
            del keys[key]


def restored(keys, backup):
    keys.clear()
    keys.update(backup)


def restored_from_another_life(keys, backup):
    keys.clear()
    keys.update(backup | {revision_key(backup): "1-someone.7"})


def with_a_stranger(keys, backup):
    stranger = Route("/user/stranger/", TARGET, {})
    keys[f"routes/{stranger.name}"] = stranger.to_record()
    keys["traefik/http/routers/stranger/rule"] = "PathPrefix(`/`)"


def with_another_revision(keys, backup):
    keys[revision_key(keys)] = "nonsense"


@pytest.mark.parametrize("takes_lease", [False, True], ids=["", "and_lease"])
@pytest.mark.parametrize(
    "change", [emptied, emptied_by_hand, restored, restored_from_another_life, with_a_stranger, with_another_revision]
)
async def test_what_somebody_else_changes_is_changed_back(hubs, change, takes_lease, caplog):
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    backup = dict(hubs.table.keys)
    await hub.add_route("/user/b/", TARGET, {})
    await until(lambda: is_quiet(hub), "it has no rest")
    ours = dict(hubs.table.keys)
    key = revision_key(ours)
    change(hubs.table.keys, backup)
    if takes_lease:
        hubs.table.lease = None
    for watcher in hubs.table.watchers:
        watcher.set()
    await until(
        lambda: hubs.table.keys.keys() == ours.keys() and hubs.table.keys.get(key) != ours[key],
        "",
    )
    assert {**hubs.table.keys, key: ""} == {**ours, key: ""}
    assert (await hub.get_all_routes()).keys() == {"/user/a/", "/user/b/"}
    if change is emptied:
        assert "puts back 2 routes (p.user.a, p.user.b)" in caplog.text
    if change is with_a_stranger:
        assert "removes 1 route (p.user.stranger)" in caplog.text
    await hub.add_route("/user/c/", TARGET, {})
    assert hub._writer.table.drift(hubs.table.keys) == {}


async def test_at_the_start_the_store_is_the_truth(hubs):
    first = hubs.new()
    await first.add_route("/user/a/", TARGET, {})
    await first.stop()
    stranger = Route("/user/b/", TARGET, {"n": 1})
    hubs.table.keys[f"routes/{stranger.name}"] = stranger.to_record()
    second = hubs.new()
    assert (await second.get_route("/user/b/"))["data"] == {"n": 1}
    await second.stop()
    assert (await first.get_all_routes()).keys() == {"/user/a/", "/user/b/"}


async def test_nothing_is_read_while_nothing_changes(hubs):
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    await until(lambda: is_quiet(hub), "it has no rest")
    reads = hub._backend.reads
    for _ in range(10):
        await hub.get_all_routes()
        await hub.get_route("/user/a/")
    assert hub._backend.reads == reads


async def test_a_comparison_follows_many_changes_of_its_own(hubs):
    hub = hubs.new()
    await hub.get_all_routes()
    reads = hub._backend.reads
    for number in range(200):
        await hub.add_route(f"/user/{number}/", TARGET, {})
    assert hub._backend.reads < reads + 20
    await until(lambda: is_quiet(hub), "it has no rest")
    assert hub._backend.reads > reads


async def test_a_watch_that_ended_begins_anew_and_nothing_is_missed(hubs):
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    await until(lambda: is_quiet(hub), "it has no rest")
    hub._backend.ends_watches = True
    wake(hubs.table)
    await until(lambda: not hub._guard._is_watching, "the end of the watch is not noticed")
    hubs.table.keys.clear()
    reads = hub._backend.reads
    hub._backend.ends_watches = False
    await until(lambda: names(hubs.table) == {"user.a"}, "what happened meanwhile is not repaired")
    assert hub._backend.reads > reads


@pytest.mark.parametrize("makes_changes", [False, True])
async def test_a_store_that_is_away_is_waited_for_and_nothing_is_half_made(hubs, makes_changes):
    hub = hubs.new(ready_timeout=0.3, lease_seconds=0.3)
    await hub.add_route("/user/a/", TARGET, {})
    hub._backend.is_away, hub._backend.makes_changes = True, makes_changes
    calls = (
        hub.add_route("/user/b/", TARGET, {}),
        hub.add_route("/user/a/", TARGET, {"n": 2}),
        hub.delete_route("/user/a/"),
        hub.delete_route("/user/a/"),
    )
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, BackendUnavailable)
    with pytest.raises(BackendUnavailable):
        await hub.get_all_routes()
    hub.ready_timeout = LONG
    waiting = asyncio.create_task(hub.add_route("/user/c/", TARGET, {}))
    hub._backend.is_away = False
    await waiting
    assert names(hubs.table) == {"user.a", "user.c"}
    assert (await hub.get_all_routes())["/user/a/"]["data"] == {}
    assert hub._writer.table.drift(hubs.table.keys) == {}


async def test_a_call_is_given_up_while_its_change_is_under_way(hubs):
    hub = hubs.new(ready_timeout=0.2)
    await hub.add_route("/user/a/", TARGET, {"n": 1})
    hub._backend.gate.clear()
    calls = (hub.add_route("/user/a/", TARGET, {"n": 2}), hub.add_route("/user/b/", TARGET, {}))
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, BackendUnavailable)
        assert "has not taken the change yet" in str(error)
    hub._backend.gate.set()
    await until(lambda: names(hubs.table) == {"user.a"} and not hub._writer._committing, "it is not taken back")
    assert (await hub.get_route("/user/a/"))["data"] == {"n": 1}


async def test_what_does_not_pass_is_said_at_once(hubs):
    hub = hubs.new(ready_timeout=LONG)
    await hub.add_route("/user/a/", TARGET, {})
    hub._backend.error, hub._backend.is_away = BackendRejected, True
    with pytest.raises(BackendRejected, match="away"):
        await hub.add_route("/user/b/", TARGET, {})
    hub._backend.is_away = False
    await hub.add_route("/user/c/", TARGET, {})
    assert names(hubs.table) == {"user.a", "user.c"}


async def test_a_hub_that_ends_lets_go_of_those_who_wait(hubs):
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    hub._backend.is_away = True
    waiting = asyncio.create_task(hub.add_route("/user/b/", TARGET, {}))
    await until(lambda: hub._writer._trouble, "it is not tried")
    await hub.stop()
    with pytest.raises(BackendUnavailable):
        await waiting


async def test_a_hub_whose_tasks_are_cancelled_gives_up_the_lease(hubs):
    """As JupyterHub does at its end."""
    hub = hubs.new()
    await hub.add_route("/user/a/", TARGET, {})
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert hubs.table.lease is None
    assert await hubs.new(when_held="fail").get_route("/user/a/")


async def test_a_driver_that_swallows_a_cancellation_holds_up_nobody(hubs):
    """As wait_for() of Python 3.11 does, when what it waits for ends just then."""
    hub = hubs.new()
    swallowed = []

    async def watch():
        yield
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(True)
        await asyncio.Event().wait()

    hub._backend.watch = watch
    await hub.add_route("/user/a/", TARGET, {})
    await until(lambda: is_quiet(hub), "it has no rest")
    await hub.stop()
    assert swallowed


async def test_the_store_is_lost_before_a_route_is_confirmed(hubs):
    """A route whose second commit, which Traefik needs (lists_at_once), cannot be made."""
    hub = hubs.new(ready_timeout=0.3, delivery="store")
    hub._backend.lists_at_once = False
    await hub.get_all_routes()
    apply, batches = hub._backend.apply, []

    async def once(batch):
        batches.append(batch)
        hub._backend.is_away = len(batches) > 1
        await apply(batch)

    hub._backend.apply = once
    with pytest.raises(BackendUnavailable):
        await hub.add_route("/user/a/", TARGET, {})
    hub._backend.apply, hub._backend.is_away = apply, False
    await until(lambda: names(hubs.table) == set(), "the route is not taken back")
    assert await hub.get_all_routes() == {}
