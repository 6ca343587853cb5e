"""The page that people see while the hub is away, in a real browser."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager

from playwright.async_api import expect

from tests.browser import PATIENCE_MS, assert_legible, browser, pictures_of
from tests.hub import Hub, until
from tests.pages import HOW_TO, texts

FETCHED = """async (headers) => {
  const answer = await fetch("/hub/login", { headers });
  return [answer.status, answer.headers.get("Content-Type"), await answer.text()];
}"""
#: XMLHttpRequest, which sends `accept` as libraries that load parts of a page do.
LOADED = """(accept) => new Promise((done) => {
  const request = new XMLHttpRequest();
  request.open("GET", "/hub/login");
  request.setRequestHeader("Accept", accept);
  request.onloadend = () => done([request.status, request.getResponseHeader("Content-Type"), request.responseText]);
  request.send();
})"""
PLAIN = [503, "text/plain; charset=utf-8", "Service Unavailable"]


@asynccontextmanager
async def hub_in_a_browser(tmp_path, config=""):
    """A hub that ran, and was killed, so that its Traefik is left; and a browser."""
    directory = tmp_path / "hub"
    directory.mkdir()
    async with Hub(directory, config) as hub, browser(tmp_path / "browser") as chromium:
        await hub.start()
        yield hub, chromium


async def opened(chromium, **options):
    """A page, what it asks for, and what the browser complains of, but for the status 503."""
    page = await chromium.new_page(**{"viewport": {"width": 1280, "height": 720}, **options})
    page.set_default_timeout(PATIENCE_MS)
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    return page, asked, complaints


async def test_who_sees_it_gets_through_when_the_hub_is_back(tmp_path):
    pictures = pictures_of("error-pages", tmp_path)
    async with hub_in_a_browser(tmp_path) as (hub, chromium):
        page, asked, complaints = await opened(chromium)
        await hub.kill()
        wanted = f"{hub.url}/hub/login?next=%2Fhub%2Fspawn"
        answer = await page.goto(wanted)
        assert answer.status == 503
        headers = await answer.all_headers()
        assert (headers["cache-control"], headers["retry-after"]) == ("no-store", "10")
        assert "location" not in headers
        await expect(page.get_by_role("heading", level=1)).to_have_text("JupyterHub is away for the moment")
        await expect(page.get_by_role("main")).to_contain_text("you need to do nothing")
        await page.screenshot(path=pictures / "away.png")
        for width in (320, 1280):
            await page.set_viewport_size({"width": width, "height": 640})
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                await assert_legible(page)
        await page.set_viewport_size({"width": 390, "height": 844})
        await page.screenshot(path=pictures / "away-phone.png")

        tries = len(asked)
        await until(lambda: len(asked) > tries, "it does not try again")
        await page.get_by_role("link", name="Try now").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("JupyterHub is away for the moment")
        assert set(asked) == {wanted}
        assert [text for text in complaints if "503" not in text] == []

        await hub.start()
        await expect(page.locator("#username_input")).to_be_visible()
        assert page.url == wanted


async def test_programs_in_a_page_get_what_they_got(tmp_path):
    """Scripts of a page that was open already, whatever they accept."""
    async with hub_in_a_browser(tmp_path) as (hub, chromium):
        page, _, _ = await opened(chromium)
        await page.goto(f"{hub.url}/hub/login")
        await hub.kill()
        for accept in ("*/*", "application/json", "text/html", "text/html, */*; q=0.01"):
            assert await page.evaluate(FETCHED, {"Accept": accept}) == PLAIN
            assert await page.evaluate(LOADED, accept) == PLAIN
        failed = """(url) => new Promise((done) => {
          const socket = new WebSocket(url);
          socket.onerror = () => done("failed");
          socket.onopen = () => done("open");
        })"""
        assert await page.evaluate(failed, f"ws://127.0.0.1:{hub.port}/hub/ws") == "failed"
        os.kill(hub.traefik_pid, signal.SIGTERM)


async def test_who_sees_the_admins_own_page_gets_through_too(tmp_path):
    [own] = texts(HOW_TO / "error-pages.md", "html")
    file = tmp_path / "away.html"
    file.write_text(own)
    async with hub_in_a_browser(tmp_path, f'c.KVProxy.away_page = "{file}"\n') as (hub, chromium):
        page, _, _ = await opened(chromium, viewport={"width": 390, "height": 844}, color_scheme="dark")
        await hub.kill()
        await page.goto(f"{hub.url}/hub/login")
        await expect(page.get_by_role("heading", level=1)).to_have_text("JupyterHub revient bientôt")
        await assert_legible(page)
        await hub.start()
        await expect(page.locator("#username_input")).to_be_visible()
