"""``jhub-kvproxy page`` as a service of a real JupyterHub, and who looks at it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

from aiohttp.web import Response
from jupyterhub.services.auth import HubOAuth
from playwright.async_api import expect

from jhub_kvproxy.aio import cancel
from jhub_kvproxy.page import web
from jhub_kvproxy.page.lookout import Lookout
from servers.ports import free_port
from tests.browser import PATIENCE_MS
from tests.hub import Hub
from tests.pages import HOW_TO, texts
from tests.servers import serving
from tests.unit.page_sites import site_of

ADMIN = '\nc.Authenticator.admin_users = {"ada"}\n'
TOKEN = "d" * 40
#: A page that the tests serve themselves.
EXTERNAL = """
c.JupyterHub.services = [
    {"name": "kvproxy", "url": "http://127.0.0.1:<PAGE>", "api_token": "<TOKEN>", "oauth_no_confirm": True}
]
"""
ONE_ROUTE = site_of({"/user/0/": ("http://127.0.0.1:1", {})})


def managed(port: int) -> str:
    """The snippet of the documentation, with a file and a port of these tests."""
    [snippet] = [text for text in texts(HOW_TO / "page.md", "python") if '"command"' in text]
    for theirs, ours in {
        '"/etc/jupyterhub/jupyterhub_config.py"': 'os.path.abspath("jupyterhub_config.py")',
        "10101": str(port),
    }.items():
        assert theirs in snippet
        snippet = snippet.replace(theirs, ours)
    return snippet


def page_of(hub: Hub) -> str:
    return f"{hub.url}/services/kvproxy/"


@asynccontextmanager
async def hub_with_page(directory, more=""):
    directory.mkdir()
    port = free_port()
    async with Hub(directory, ADMIN + managed(port) + more) as hub:
        await hub.start()
        yield hub, port


async def opened(chromium, hub, name="ada", **options):
    """The page, as the admin `name` sees it, and what the browser complains of."""
    context = await chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(page_of(hub))
    await page.fill("#username_input", name)
    await page.fill("#password_input", "any")
    await page.click("#login_submit")
    await expect(page.locator("#verdict.good, #verdict.bad")).to_be_visible(timeout=PATIENCE_MS)
    return page, complaints


async def echo(url):
    """A trace that says `url`."""
    return {"ok": True, "findings": [], "verdict": url, "routes": [], "replicas": []}


@asynccontextmanager
async def hub_that_starts_no_page(directory, more=""):
    """A hub, and the port where it expects a page."""
    directory.mkdir()
    port = free_port()
    async with Hub(directory, ADMIN + EXTERNAL.replace("<PAGE>", str(port)).replace("<TOKEN>", TOKEN) + more) as hub:
        # JupyterHub waits for half a minute for a service that is not there.
        async with serving(nothing_yet, port=port):
            await hub.start()
        yield hub, port


async def nothing_yet(_):
    return Response()


@asynccontextmanager
async def page_here(monkeypatch, hub, port, *, site=ONE_ROUTE, trace=echo):
    """A lookout of this process that sees `site`, and its page as a service of `hub`."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    HubOAuth.clear_instance()
    # As in a process with the environment of a service, which JupyterHub reads when it is imported.
    HubOAuth.instance(
        base_url="/services/kvproxy/",
        api_url=f"http://127.0.0.1:{hub.hub_port}/hub/api",
        oauth_client_id="service-kvproxy",
        access_scopes={"access:services", "access:services!service=kvproxy"},
    )

    async def see():
        return site

    log = logging.getLogger("test")
    lookout = Lookout(see, lambda value: value, log, every=0.1)
    task = asyncio.create_task(lookout.run())
    try:
        async with web.serving(lookout, trace, log):
            yield lookout
    finally:
        await cancel([task])
        HubOAuth.clear_instance()
