"""One look for all who look on."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from jhub_kvproxy.aio import cancel
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


async def test_while_nobody_looks_on_it_rests_and_it_looks_at_once_for_the_first(looking):
    lookout, eyes = looking
    first = await lookout.next(None, PATIENCE)
    assert await lookout.next(first, 0.3) is None
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
