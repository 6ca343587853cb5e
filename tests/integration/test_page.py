"""``jhub-kvproxy page``: a service of a real JupyterHub, in a real browser."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
from argparse import Namespace
from contextlib import suppress

import aiohttp
import pytest
from playwright.async_api import expect

from jhub_kvproxy.aio import cancel
from jhub_kvproxy.cli.hub_config import hub_config
from jhub_kvproxy.page import web
from jhub_kvproxy.page.lookout import Lookout
from jhub_kvproxy.page.seen import Seen
from jhub_kvproxy.store.registry import find_backend
from jhub_kvproxy.traefik.running import home_of, running_in
from servers.ports import free_port
from tests.browser import PATIENCE_MS, assert_legible, browser, pictures_of
from tests.command import USES_KVPROXY, ended, start
from tests.hub import Hub, browsing, until
from tests.live_page import TOKEN, hub_that_starts_no_page, hub_with_page, opened, page_here, page_of
from tests.pages import HOW_TO, texts
from tests.stores import on_all_stores
from tests.tools import begin, looked_at


async def test_an_admin_sees_the_site_live(tmp_path):
    """Routes, a target that is away, a replica that hangs; light and dark, wide and narrow."""
    away = f"http://127.0.0.1:{free_port()}"
    more = f'c.KVProxy.extra_routes = {{"/away/": "{away}"}}\nc.KVProxy.local_replicas = 2\nc.KVProxy.activity = True\n'
    pictures = pictures_of("page", tmp_path)
    async with hub_with_page(tmp_path / "hub", more) as (hub, _), browser(tmp_path / "browser") as chromium:
        page, complaints = await opened(chromium, hub)
        await expect(page.locator("#verdict")).to_contain_text("All 2 replicas serve all of the table: 3 routes.")
        routes, replicas = page.locator("#routes tr"), page.locator("#replicas tr")
        await expect(replicas).to_have_count(2)
        await expect(replicas.first).to_contain_text("serves the table")
        await expect(routes).to_have_count(3)
        await expect(routes.filter(has_text="/away/")).to_contain_text("no: connection refused")
        await expect(routes.filter(has_text="the hub")).to_contain_text("answers")
        assert "The hub with process" in await page.inner_text("#site")

        async with browsing(hub.url, "alice") as alice:
            await alice.spawn()
            await expect(routes).to_have_count(4)
            await expect(page.locator("#changes li").first).to_contain_text("added /user/alice/")
            await expect(routes.filter(has_text="/user/alice/")).to_contain_text(" ago")
            await page.screenshot(path=pictures / "page.png", full_page=True)

        await page.fill("#search", "ALICE 127.0.0.1")
        await expect(routes).to_have_count(1)
        await expect(page.locator("#count")).to_have_text("4 routes, 1 of them match.")
        await page.fill("#search", "")
        await page.check("#silent")
        await expect(routes).to_have_count(1)
        await page.uncheck("#silent")
        await page.select_option("#sort", "answers")
        await expect(routes.first).to_contain_text("/away/")
        await page.select_option("#sort", "last")
        await expect(routes.nth(0)).to_contain_text("/services/kvproxy/")  # who looks on uses it
        await expect(routes.nth(1)).to_contain_text("/user/alice/")

        with socket.create_server(("127.0.0.1", 0)) as stranger:
            stranger.setblocking(False)
            await page.fill("#trace-url", f"http://127.0.0.1:{stranger.getsockname()[1]}/user/alice/api")
            await page.click("#trace button")
            await expect(page.locator("#trace-steps")).to_contain_text("Replica local sends it by /user/alice/")
            with pytest.raises(BlockingIOError):  # who looks on does not choose where requests go
                stranger.accept()
        await page.fill("#trace-url", f"{hub.url}/user/alice/api")
        await page.click("#trace button")
        await expect(page.locator("#trace-verdict.good")).to_be_visible()
        await expect(page.locator("#trace-steps")).to_contain_text("Route /user/alice/ gets it")
        await expect(page.locator("#trace-steps")).to_contain_text("Replica local sends it by /user/alice/")
        await page.fill("#trace-url", "nonsense")
        await page.keyboard.press("Enter")
        await expect(page.locator("#trace-verdict.bad")).to_contain_text("'nonsense' is no URL")
        await page.fill("#trace-url", "/away/<b>x")
        await page.keyboard.press("Enter")
        await expect(page.locator("#trace-verdict.bad")).to_be_visible()
        await expect(page.locator("#trace-steps")).to_contain_text("does not answer: connection refused")

        await assert_accessible(page)
        for width in (360, 1280):
            await page.set_viewport_size({"width": width, "height": 780})
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                await assert_legible(page)
        await page.set_viewport_size({"width": 390, "height": 844})
        await page.emulate_media(color_scheme="dark")

        second = second_traefik(hub)
        os.kill(second, signal.SIGSTOP)
        try:
            await expect(page.locator("#verdict.bad")).to_have_text("1 thing to look at.")
            await expect(page.locator("#problems li")).to_contain_text("Replica local-2: ")
            await expect(page.locator("#faults li").first).to_contain_text("until now")
            await assert_legible(page)
            await page.screenshot(path=pictures / "page-phone.png")
        finally:
            with suppress(ProcessLookupError):
                os.kill(second, signal.SIGCONT)
        await expect(page.locator("#verdict.good")).to_be_visible(timeout=PATIENCE_MS)
        await expect(page.locator("#faults li").first).to_contain_text(re.compile(r"for \d+ "))
        assert complaints == []


def second_traefik(hub: Hub) -> int:
    return running_in(home_of(hub.directory / "kvproxy-run", 2)).pid


async def assert_accessible(page):
    """What a screen reader needs: landmarks, one heading of the page, names for all controls, headers of tables."""
    for role in ("banner", "navigation", "main", "contentinfo", "search"):
        await expect(page.get_by_role(role)).to_have_count(1)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Routing")
    for name in ("Hub and store", "Replicas", "Routes", "Last changes", "Last faults"):
        await expect(page.get_by_role("heading", name=name, exact=True, level=2)).to_be_visible()
    for name in ("Search", "Sort by", "only those whose target does not answer"):
        await expect(page.get_by_label(name)).to_be_visible()
    await expect(page.get_by_role("button", name="Toggle dark mode")).to_be_visible()
    await expect(page.get_by_role("img", name="JupyterHub")).to_be_visible()
    await expect(page.get_by_role("columnheader", name="Last activity")).to_be_visible()
    await expect(page.get_by_role("rowheader", name="/user/alice/")).to_be_visible()
    live = page.get_by_role("status")
    assert {await one.get_attribute("id") for one in await live.all()} >= {"verdict", "connection", "count"}
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.documentElement.lang") == "en"


async def test_who_may_see_it(tmp_path):
    """Admins, and those whom a role allows; nobody else gets a word of it."""
    [role] = [text for text in texts(HOW_TO / "page.md", "python") if "load_roles" in text]
    role = f'{role}\nc.JupyterHub.load_groups = {{"operators": {{"users": ["olga"]}}}}\n'
    async with hub_with_page(tmp_path / "hub", role) as (hub, port):
        async with aiohttp.ClientSession() as session:
            for place in (f"http://127.0.0.1:{port}/services/kvproxy/", page_of(hub)):
                async with session.get(place, allow_redirects=False) as answer:
                    assert answer.status == 302
                    assert answer.headers["Location"].startswith("/hub/api/oauth2/authorize?")
                async with session.get(f"{place}events") as answer:
                    assert answer.status == 403
                    assert "You may not see this page" in await answer.text()
                async with session.get(f"{place}nothing") as answer:
                    assert answer.status == 404
                for header in ({"Authorization": f"token {TOKEN}"}, {"Cookie": "service-kvproxy=x"}):
                    async with session.get(f"{place}events", headers=header) as answer:
                        assert answer.status == 403
            async with session.get(f"{page_of(hub)}static/page.js") as answer:
                assert answer.status == 200
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
            for name in ("page.html", "../web.py", "%2e%2e/web.py", ""):
                async with session.get(f"http://127.0.0.1:{port}/services/kvproxy/static/{name}") as answer:
                    assert answer.status in (403, 404)
        for name, status in (("alice", 403), ("olga", 200), ("ada", 200)):
            async with browsing(hub.url, name) as user:
                assert (await user.get(page_of(hub)))[0] == status
                async with user._session.get(f"{page_of(hub)}events") as answer:
                    assert answer.status == status
                    if status == 200:
                        assert (await answer.content.readline()) == b"event: site\n"
                async with user._session.post(f"{page_of(hub)}trace", data="/") as answer:
                    assert answer.status == 403  # without the token of the page
                if status == 200:
                    async with user._session.get(page_of(hub)) as answer:
                        policy = answer.headers["Content-Security-Policy"]
                    assert "script-src 'self';" in policy
                    assert "unsafe" not in policy
                    assert policy.startswith("default-src 'none';")


async def test_a_hub_that_is_killed_leaves_no_page_behind(tmp_path):
    async with hub_with_page(tmp_path / "hub") as (hub, _):
        assert pages(hub)
        await hub.kill()
        await until(lambda: not pages(hub), "the page runs on")
        await hub.start()
        async with browsing(hub.url, "ada") as ada:
            assert (await ada.get(page_of(hub)))[0] == 200


async def test_with_internal_ssl(tmp_path):
    async with (
        hub_with_page(tmp_path / "hub", "c.JupyterHub.internal_ssl = True\n") as (hub, _),
        browsing(hub.url, "ada") as ada,
    ):
        assert (await ada.get(page_of(hub)))[0] == 200
        async with ada._session.get(f"{page_of(hub)}events") as answer:
            assert await answer.content.readline() == b"event: site\n"


def pages(hub: Hub) -> list[int]:
    return [pid for pid, command in hub.processes().items() if "jhub_kvproxy page" in command]


async def test_who_logs_out_sees_no_more_and_who_looks_on_while_the_hub_is_away_does(monkeypatch, tmp_path):
    monkeypatch.setattr(web, "_RECHECK", 0.2)
    async with (
        hub_that_starts_no_page(tmp_path / "hub") as (hub, port),
        page_here(monkeypatch, hub, port) as lookout,
        browsing(hub.url, "ada") as ada,
    ):
        assert (await ada.get(page_of(hub)))[0] == 200
        async with ada._session.get(f"{page_of(hub)}events") as events:
            await events.content.readline()
            await ada.get(f"{hub.url}/hub/logout")
            async with asyncio.timeout(60):
                await events.content.read()
        assert lookout.viewers == 0
        await ada.log_in()
        assert (await ada.get(page_of(hub)))[0] == 200
        async with ada._session.get(f"{page_of(hub)}events") as events:
            await hub.kill()
            seen = lookout._view.number
            await until(lambda: lookout._view.number > seen + 20, "nobody looks on")
            assert lookout.viewers == 1
        await hub.start()


def test_outside_of_jupyterhub_it_says_what_to_do(tmp_path):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(USES_KVPROXY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB")}
    result = ended(start("page", "--config", file, cwd=tmp_path, env=environment))
    assert (result.status, result.out) == (1, "")
    assert "add it to c.JupyterHub.services" in result.err


def test_a_taken_port_is_told(tmp_path):
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(USES_KVPROXY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        environment = {
            **os.environ,
            "JUPYTERHUB_SERVICE_URL": url,
            "JUPYTERHUB_API_TOKEN": "x",
            "JUPYTERHUB_CLIENT_ID": "s",
        }
        result = ended(start("page", "--config", file, cwd=tmp_path, env=environment))
    assert result.status == 1
    assert (
        f"The page cannot listen at {url.removeprefix('http://')} (the service's url): Address already in use."
        in result.err
    )


@pytest.mark.parametrize(
    ("words", "message"), [(["--jsn"], "there is no option --jsn"), (["x"], "unexpected argument 'x'.")]
)
def test_wrong_usage(words, message):
    result = ended(start("page", *words))
    assert (result.status, result.out) == (2, "")
    assert message in result.err


@on_all_stores
async def test_it_sees_the_routes_in_each_store(site):
    async with looked_at(site, "push", activity=True) as looked:
        await begin(looked)
        await looked.proxy.add_route("/user/a/", await site.server("a"), {"user": "a"})
        words = [*site.store.readers_words, f"--KVProxy.prefix={site.store.prefix}"]
        config = hub_config(Namespace(config=str(looked.file), configuration=words))
        seen = Seen(config.settings, site.store.prefix, config.reader, config.log)
        lookout = Lookout(seen.now, config.secrets.hide_leaves, logging.getLogger("test"), every=0.1)
        task = asyncio.create_task(lookout.run())
        try:
            with lookout.looked_on():
                view = await lookout.next(None, 60)
                assert (view.facts["ok"], view.facts["problems"]) == (True, [])
                assert view.facts["hub"]["holder"].startswith(f"The hub with process {os.getpid()}")
                assert view.facts["store"]["backend"] == find_backend(site.store.name).__name__
                assert list(view.rows) == ["/user/a/"]
                await looked.proxy.add_route("/user/b/", await site.server("b"), {"user": "b"})
                while "/user/b/" not in view.rows:
                    view = await lookout.next(view, 60)
        finally:
            await cancel([task])
