"""One look for all who look on."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time

import pytest

from jhub_kvproxy.aio import cancel, rest
from jhub_kvproxy.page import lookout as module
from jhub_kvproxy.page.lookout import Lookout
from jhub_kvproxy.page.targets import Targets, why_not
from servers.ports import free_port
from tests.hub import until
from tests.unit.page_sites import site_of

PATIENCE = 60
A, B = {"/user/a/": ("http://127.0.0.1:1", {"user": "a"})}, {"/user/b/": ("http://127.0.0.1:1", {"user": "b"})}


class Eyes:
    """Sees `site`, and counts how often it was asked."""

    def __init__(self):
        self.site, self.looks, self.error = site_of(A), 0, None

    async def __call__(self):
        self.looks += 1
        if self.error:
            raise self.error
        return self.site


@pytest.fixture
def rests(monkeypatch):
    """The seconds of each of the lookout's rests, as it begins."""
    begun = asyncio.Queue()

    async def noted(seconds, news=None):
        begun.put_nowait(seconds)
        await rest(seconds, news)

    monkeypatch.setattr(module, "rest", noted)
    return begun


@pytest.fixture
async def looking():
    """A lookout that looks, and its eyes."""
    eyes = Eyes()
    lookout = Lookout(eyes, lambda value: value, logging.getLogger("test"), every=0.01, idle=3600)
    task = asyncio.create_task(lookout.run())
    yield lookout, eyes
    await cancel([task])


async def test_all_viewers_share_one_look_and_what_is_told_of_it(looking):
    lookout, eyes = looking
    first = await lookout.next(None, PATIENCE)
    told = await asyncio.gather(*(lookout.told(None, first) for _ in range(100)))
    assert len({id(one) for one in told}) == 1
    assert eyes.looks == 1


async def test_while_nobody_looks_on_it_rests_and_it_looks_at_once_for_the_first(rests, looking):
    lookout, eyes = looking
    first = await lookout.next(None, PATIENCE)
    assert await rests.get() + await rests.get() == pytest.approx(3600)
    assert eyes.looks == 1
    with lookout.looked_on():
        eyes.site = site_of(B)
        second = await lookout.next(first, PATIENCE)
        while "/user/b/" not in second.rows:
            second = await lookout.next(second, PATIENCE)
        assert lookout.viewers == 1
    assert lookout.viewers == 0
    assert [change.what for change in second.history.changes] == ["added", "removed"]


async def test_a_viewer_who_is_slow_gets_all_that_has_changed_meanwhile_at_once(looking):
    lookout, eyes = looking
    first = await lookout.next(None, PATIENCE)
    with lookout.looked_on():
        view = first
        for number in range(5):
            eyes.site = site_of({f"/user/{number}/": ("http://127.0.0.1:1", {})})
            while f"/user/{number}/" not in view.rows:
                view = await lookout.next(view, PATIENCE)
        told = await lookout.told(first, view)
    assert b"/user/4/" in told
    assert b'"drop":["/user/a/"]' in told


async def test_routes_stay_in_sight_while_the_store_is_away(looking):
    lookout, eyes = looking
    view = await lookout.next(None, PATIENCE)
    with lookout.looked_on():
        eyes.site = site_of({}, "It is gone.")
        while view.facts["ok"]:
            view = await lookout.next(view, PATIENCE)
        assert list(view.rows) == ["/user/a/"]
        assert view.history.changes == ()
        assert view.history.faults[0].text == "The store cannot be read: It is gone."


async def test_an_error_of_ours_ends_nothing(looking, caplog):
    lookout, eyes = looking
    view = await lookout.next(None, PATIENCE)
    eyes.error = ZeroDivisionError("ours")
    with lookout.looked_on():
        await until(lambda: "The page could not look at the site" in caplog.text, "nothing is logged")
        eyes.error, eyes.site = None, site_of(B)
        while "/user/b/" not in view.rows:
            view = await lookout.next(view, PATIENCE)


async def wait():
    await asyncio.sleep(0.3)


async def work():
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass


@pytest.mark.parametrize(("look", "is_long"), [(wait, False), (work, True)])
async def test_it_pauses_longer_after_work_but_not_after_waiting_for_a_replica(rests, look, is_long):
    async def see():
        await look()
        return site_of(A)

    task = asyncio.create_task(Lookout(see, lambda value: value, logging.getLogger("test"), every=1.0).run())
    try:
        assert (await rests.get() > 1.0) is is_long
    finally:
        await cancel([task])


async def test_a_viewer_who_leaves_leaves_no_thread_behind_and_others_are_told(looking, monkeypatch):
    lookout, _ = looking
    view = await lookout.next(None, PATIENCE)
    goes_on, begun = threading.Event(), threading.Event()

    def slow(sent, view):
        begun.set()
        assert goes_on.wait(PATIENCE)
        return b"told"

    monkeypatch.setattr(module, "events", slow)
    leaving, staying = (asyncio.create_task(lookout.told(None, view)) for _ in range(2))
    try:
        await until(begun.is_set, "nothing is told")
        leaving.cancel()
        await asyncio.wait([leaving], timeout=0.1)
        assert not leaving.done()
    finally:
        goes_on.set()
    assert await staying == b"told"
    await asyncio.wait([leaving])
    assert leaving.cancelled()


async def test_an_error_of_ours_in_trying_targets_ends_nothing(looking, monkeypatch, caplog):
    lookout, eyes = looking
    real, errors = lookout._targets.try_some, [ZeroDivisionError("ours")]

    async def fails_once(targets):
        if errors:
            raise errors.pop()
        await real(targets)

    monkeypatch.setattr(lookout._targets, "try_some", fails_once)
    eyes.site = site_of({"/user/a/": (f"http://127.0.0.1:{free_port()}", {})})
    with lookout.looked_on():
        view = await lookout.next(None, PATIENCE)
        while view.rows["/user/a/"].answers is None:
            view = await lookout.next(view, PATIENCE)
            assert view, "the page looks no more"
    assert "The page could not try the targets" in caplog.text


async def test_targets_are_tried_while_somebody_looks_on(looking):
    lookout, eyes = looking
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"http://127.0.0.1:{server.getsockname()[1]}"
        eyes.site = site_of({"/user/a/": (here, {}), "/user/b/": (f"http://127.0.0.1:{port}", {})})
        with lookout.looked_on():
            view = await lookout.next(None, PATIENCE)
            while any(row.answers is None for row in view.rows.values()) or "/user/b/" not in view.rows:
                view = await lookout.next(view, PATIENCE)
    assert view.rows["/user/a/"].answers == ""
    assert view.rows["/user/b/"].answers == "connection refused"


async def test_why_a_target_does_not_answer():
    assert await why_not("http://no-such-host.invalid/") == "the name or the port is not known"
    assert await why_not("http://127.0.0.1:99999/") == "the name or the port is not known"
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = full.getsockname()
    with full, socket.create_connection(address), socket.socket() as waiting:
        waiting.setblocking(False)
        waiting.connect_ex(address)
        assert await why_not(f"http://127.0.0.1:{address[1]}") == "no answer in 1 s"


async def test_targets_that_have_gone_are_forgotten():
    targets = Targets()
    gone = f"http://127.0.0.1:{free_port()}"
    await targets.try_some([gone])
    assert targets.answers() == {gone: "connection refused"}
    await targets.try_some([])
    assert targets.answers() == {}
