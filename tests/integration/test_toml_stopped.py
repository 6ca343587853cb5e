"""A process that is stopped while it changes the files: others go on, and it changes nothing when it goes on itself."""

from __future__ import annotations

import asyncio
import threading

import pytest

from jhub_kvproxy import BackendUnavailable, Batch, LeaseHeld, LeaseLost, write_atomically
from jhub_kvproxy_backends import _lease_file, _toml_lock, toml
from jhub_kvproxy_backends.toml import TomlBackend
from tests.hub import until

RULE = "traefik/http/routers/{}/rule"


class Stop:
    """Stops the next thread that comes to the place, until it may go on."""

    def __init__(self):
        self.is_reached, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self):
        if not self.is_reached.is_set():
            self.is_reached.set()
            self.may_go_on.wait()


def before_writing(name):
    """A place just before a file of this name is written or removed."""

    def place(monkeypatch, stop):
        def write(path, *arguments, **options):
            if path.name == name:
                stop()
            write_atomically(path, *arguments, **options)

        def discard(path, workshop):
            if path.name == name:
                stop()
            remove(path, workshop)

        remove = toml._discard
        monkeypatch.setattr(toml, "_discard", discard)
        for module in (toml, _lease_file):
            monkeypatch.setattr(module, "write_atomically", write)

    return place


def before_renaming(name):
    """A place just before a file of this name gets its new name."""

    def place(monkeypatch, stop):
        rename, replace = toml.os.rename, toml.os.replace

        def wrapped(function):
            def call(source, target):
                if getattr(target, "name", "") == name:
                    stop()
                function(source, target)

            return call

        monkeypatch.setattr(toml.os, "rename", wrapped(rename))
        monkeypatch.setattr(toml.os, "replace", wrapped(replace))

    return place


def without_workshop(monkeypatch, stop):
    make = _toml_lock.TableLock._make_workshop

    def late(self):
        stop()
        return make(self)

    monkeypatch.setattr(_toml_lock.TableLock, "_make_workshop", late)


PLACES = {
    "with the lock only": without_workshop,
    "before the table is written": before_writing("table.json"),
    "before the table is renamed": before_renaming("table.json"),
    "between the two files": before_writing("routes.toml"),
    "before the second is renamed": before_renaming("routes.toml"),
}


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(_toml_lock, "_STALLED", 0.1)


@pytest.fixture
async def stop():
    stop = Stop()
    yield stop
    stop.may_go_on.set()


async def opened(tmp_path):
    backend = TomlBackend(path=str(tmp_path / "table"), prefix="hub", timeout=60)
    await backend.open()
    return backend


async def acquired(backend, holder):
    async def is_acquired():
        try:
            await backend.acquire_lease(holder, 600)
        except LeaseHeld:
            return False
        return True

    await until(is_acquired, "who is stopped keeps the others out")


async def reached(stop):
    async def is_reached():
        return stop.is_reached.is_set()

    await until(is_reached, "the place is not reached")


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("change", ["put", "delete"])
async def test_a_writer_that_is_stopped(tmp_path, monkeypatch, soon, stop, place, change):
    first, second = await opened(tmp_path), await opened(tmp_path)
    await first.acquire_lease("first", 0.5)
    await first.apply(Batch({"routes/a": "0", RULE.format("a"): "0"}))
    await first.acquire_lease("first", 0.5)
    place(monkeypatch, stop)
    value = "1" if change == "put" else None
    applying = asyncio.create_task(first.apply(Batch({"routes/a": value, RULE.format("a"): value})))
    await reached(stop)
    with pytest.raises(LeaseHeld, match="first"):
        await second.acquire_lease("second", 600)
    await acquired(second, "second")
    ours = {"routes/b": "2", RULE.format("b"): "2"}
    await second.apply(Batch({"routes/a": None, RULE.format("a"): None, **ours}))
    before = second.table_file.read_bytes(), second.traefik_file.read_bytes()
    stop.may_go_on.set()
    with pytest.raises((LeaseLost, BackendUnavailable)):
        await applying
    assert (second.table_file.read_bytes(), second.traefik_file.read_bytes()) == before
    with pytest.raises(LeaseLost):
        await first.apply(Batch({"routes/a": "late"}))
    await first.close()
    await second.apply(Batch({"routes/b": "3"}))
    for backend in (first, second):
        assert (await backend.load()).keys == {**ours, "routes/b": "3"}
    assert sorted(path.name for path in second.directory.iterdir()) == ["lease", "lock.1", "table.json", "traefik"]


@pytest.mark.parametrize("place", [without_workshop, before_writing("lease"), before_renaming("lease")])
async def test_one_who_is_stopped_while_it_asks_for_the_lease(tmp_path, monkeypatch, soon, stop, place):
    first, second = await opened(tmp_path), await opened(tmp_path)
    place(monkeypatch, stop)
    acquiring = asyncio.create_task(first.acquire_lease("first", 600))
    await reached(stop)
    await acquired(second, "second")
    stop.may_go_on.set()
    with pytest.raises((LeaseHeld, BackendUnavailable)):
        await acquiring
    await second.apply(Batch({"routes/a": "2"}))
    with pytest.raises(LeaseHeld, match="second"):
        await first.acquire_lease("first", 600)


async def test_one_who_is_stopped_while_it_gives_the_lease_up(tmp_path, monkeypatch, soon, stop):
    first, second = await opened(tmp_path), await opened(tmp_path)
    await first.acquire_lease("first", 0.5)
    before_renaming("lease")(monkeypatch, stop)
    releasing = asyncio.create_task(first.release_lease())
    await reached(stop)
    await acquired(second, "second")
    stop.may_go_on.set()
    with pytest.raises(BackendUnavailable):
        await releasing
    await second.apply(Batch({"routes/a": "2"}))
    await first.close()


async def test_several_break_in_at_once(tmp_path, monkeypatch, soon, stop):
    first, others = await opened(tmp_path), [await opened(tmp_path) for _ in range(4)]
    before_renaming("table.json")(monkeypatch, stop)
    applying = asyncio.create_task(first.apply(Batch({"routes/first": "1"})))
    await reached(stop)

    async def write(number):
        for turn in range(10):
            await others[number].apply(Batch({f"routes/{number}-{turn}": "1"}))

    await asyncio.gather(*map(write, range(4)))
    stop.may_go_on.set()
    with pytest.raises(BackendUnavailable, match="was stopped, or too slow"):
        await applying
    expected = {f"routes/{number}-{turn}": "1" for number in range(4) for turn in range(10)}
    for backend in (first, *others):
        assert (await backend.load()).keys == expected
    await first.apply(Batch({"routes/first": "1"}))
    assert (await others[0].load()).keys == {**expected, "routes/first": "1"}


async def test_one_whose_lease_lasts_is_not_broken_in_on(tmp_path, monkeypatch, soon, stop):
    """Its disk may be slow. Others read meanwhile."""
    first, second = await opened(tmp_path), await opened(tmp_path)
    second.timeout = 0.5
    await first.acquire_lease("first", 600)
    before_renaming("table.json")(monkeypatch, stop)
    applying = asyncio.create_task(first.apply(Batch({"routes/a": "1"})))
    await reached(stop)
    with pytest.raises(BackendUnavailable, match="Another process has held"):
        await second.apply(Batch({"routes/b": "1"}))
    assert (await second.load()).keys == {}
    stop.may_go_on.set()
    await applying
    assert (await second.load()).keys == {"routes/a": "1"}
