"""Who looks at the live page through a real JupyterHub, and goes, or takes nothing: one hub for all of them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from aiohttp.web import Response
from jupyterhub.services.auth import HubOAuth
from playwright.async_api import expect
from yarl import URL

from jhub_kvproxy.page import web
from tests.browser import browser
from tests.hub import browsing, until
from tests.live_page import hub_that_starts_no_page, opened, page_here, page_of
from tests.servers import serving
from tests.unit.page_sites import site_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: As long as the table of 100,000 users: 16 MB.
LONG = site_of({f"/user/{number}/": ("http://127.0.0.1:1", {"user": "x" * 8000}) for number in range(2000)})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory):
    async with hub_that_starts_no_page(tmp_path_factory.mktemp("shared") / "hub") as parts:
        yield parts


@pytest_asyncio.fixture(loop_scope="module")
async def served_here(shared, monkeypatch):
    """A function that serves the page of the hub that all share: hub, port, and lookout."""
    hub, port = shared

    @asynccontextmanager
    async def served(**options):
        async with page_here(monkeypatch, hub, port, **options) as lookout:
            yield hub, port, lookout

    return served


async def test_closed_tabs_leave_nothing_behind(served_here):
    async with served_here() as (hub, _, lookout), browsing(hub.url, "ada") as ada:
        assert (await ada.get(page_of(hub)))[0] == 200
        tabs = [await ada._session.get(f"{page_of(hub)}events") for _ in range(20)]
        for tab in tabs:
            assert await tab.content.readline() == b"event: site\n"
        assert lookout.viewers == 20
        for tab in tabs:
            tab.close()
        await until(lambda: lookout.viewers == 0, "viewers stay")


@asynccontextmanager
async def slow_viewer(hub, port, buffer):
    """The socket of an admin who has asked for the events, whose kernel takes about `buffer` bytes by itself."""
    async with browsing(hub.url, "ada") as ada:
        assert (await ada.get(page_of(hub)))[0] == 200
        cookies = ada._session.cookie_jar.filter_cookies(URL(page_of(hub)))
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", port))
        request = f"GET /services/kvproxy/events HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"
        await loop.sock_sendall(slow, request.encode())
        yield slow


async def test_a_viewer_who_takes_nothing_is_given_up(served_here, monkeypatch):
    monkeypatch.setattr(web, "_PATIENCE", 1.0)
    async with served_here(site=LONG) as (hub, port, lookout), slow_viewer(hub, port, 4096):
        await until(lambda: lookout.viewers == 1, "the viewer is not there")
        await until(lambda: lookout.viewers == 0, "the viewer stays")


async def test_a_viewer_who_is_slow_gets_all_of_a_long_table(served_here, monkeypatch):
    monkeypatch.setattr(web, "_PATIENCE", 2.5)
    async with served_here(site=LONG) as (hub, port, _), slow_viewer(hub, port, 1 << 20) as slow:
        taken = bytearray()

        async def take():
            part = await asyncio.get_running_loop().sock_recv(slow, 1 << 16)
            assert part, "the viewer is given up"
            taken.extend(part)

        for size in (0, 2 << 20, 4 << 20, 6 << 20):
            while len(taken) < size:
                await take()
            await asyncio.sleep(1)
        while b'"/user/1999/"' not in taken[-20_000:]:
            await take()


@pytest.mark.parametrize(("status", "stays"), [(404, False), (503, True)])
async def test_a_hub_that_refuses_is_not_taken_for_one_that_is_away(served_here, monkeypatch, status, stays):
    asked = []

    async def fake_hub(_):
        asked.append(status)
        return Response(status=status)

    async with (
        served_here() as (hub, _, lookout),
        browsing(hub.url, "ada") as ada,
        serving(fake_hub) as fake,
    ):
        assert (await ada.get(page_of(hub)))[0] == 200
        async with ada._session.get(f"{page_of(hub)}events") as events:
            await events.content.readline()
            monkeypatch.setattr(HubOAuth.instance(), "api_url", fake)
            monkeypatch.setattr(web, "_RECHECK", 0.1)
            if stays:
                await until(lambda: len(asked) > 3, "the hub is not asked")
                assert lookout.viewers == 1
            else:
                async with asyncio.timeout(60):
                    await events.content.read()


async def test_a_browser_tells_that_the_connection_is_lost_and_finds_it_again(served_here, monkeypatch, tmp_path):
    async with (
        served_here(site=LONG) as (hub, _, _),
        browser(tmp_path / "browser") as chromium,
    ):
        page, _ = await opened(chromium, hub)
        await expect(page.locator("#count")).to_have_text("2000 routes; the first 200 are shown.")
        monkeypatch.setattr(web._Events, "_may_look_on", nobody_may)
        await page.route("**/events", lambda route: route.abort())
        monkeypatch.setattr(web, "_RECHECK", 0)
        await expect(page.locator("#connection")).to_contain_text("The connection is lost")
        monkeypatch.setattr(web, "_RECHECK", 3600)
        await page.unroute("**/events")
        await expect(page.locator("#connection")).to_have_text("")
        await page.route("**/events", lambda route: route.fulfill(status=403, body=""))
        monkeypatch.setattr(web, "_RECHECK", 0)
        await expect(page.locator("#connection")).to_contain_text("Log in again")


async def nobody_may(handler):
    return False
