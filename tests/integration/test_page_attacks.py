"""What strangers, users, and other pages in an admin's browser can do to the live page, and learn from it."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import expect

from jhub_kvproxy.page.web import _MAX_BODY
from jhub_kvproxy.survey.replicas import Replica
from jhub_kvproxy.traefik.running import API_PASSWORD_ENV
from servers.ports import free_port
from servers.redis import RedisServer
from tests.browser import browser
from tests.hub import browsing, until
from tests.live_page import hub_that_starts_no_page, hub_with_page, opened, page_here, page_of
from tests.servers import serving
from tests.unit.page_sites import site_of

PASSWORD = "Hush4Ever-and-a-day"
SCRIPT = "<img src=x onerror=\"hacked='yes'\">"
EVIL = [
    SCRIPT,
    "</script><script>hacked='yes'</script>",
    '" autofocus onfocus="hacked=1" x="',
    "javascript:hacked=1",
    "{{ 7 * 7 }}{% raise Exception %}",
    "\n\nevent: site\ndata: {}\n\n",
    "\u202e\u2028\x00\x1b[31m",
    "__proto__",
]
MARKS = "() => [window.hacked, {}.target, document.querySelectorAll('main img, main script, iframe').length]"

NAME = "<i onclick=alert(1)>ada"
in_the_shared_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory):
    """A hub, the port of its page, and a browser, for all tests that need no others."""
    home = tmp_path_factory.mktemp("shared")
    admins = f"c.Authenticator.admin_users = {{'ada', {NAME!r}}}\n"
    async with (
        hub_that_starts_no_page(home / "hub", admins) as (hub, port),
        browser(home / "browser") as chromium,
    ):
        yield hub, port, chromium


@pytest_asyncio.fixture(loop_scope="module")
async def parts(shared):
    """The same; what a test leaves in the browser is closed."""
    yield shared
    for context in shared[2].contexts:
        await context.close()


async def saying(text):
    """A trace in which all is `text`."""
    reply = {"status": None, "error": text}
    return {
        "ok": False,
        "findings": [text],
        "verdict": text,
        "routes": [{"routespec": text, "wins": True, "target": text, "why": text}],
        "target": {"url": text, **reply},
        "replicas": [{"name": text, "routespec": text, "target": text, "error": None, "reply": reply}],
    }


@in_the_shared_loop
async def test_names_and_data_of_others_are_text(parts, monkeypatch):
    """Routes, owners, targets, the store's error, a trace, and the admin's own name."""
    owners = {f"/user/{number}/": ("http://127.0.0.1:1", {"user": text}) for number, text in enumerate(EVIL)}
    replicas = tuple(Replica(text, "http://127.0.0.1:1", "push", version=text, errors=(text,)) for text in EVIL)
    site = replace(site_of(owners), replicas=replicas)
    hub, port, chromium = parts
    async with (
        page_here(monkeypatch, hub, port, site=site, trace=saying),
    ):
        page, complaints = await opened(chromium, hub, NAME)
        await expect(page.locator("#routes tr")).to_have_count(len(EVIL))
        await expect(page.locator("nav span").last).to_have_text(NAME)
        for place in ("#routes td:nth-child(2)", "#replicas th"):
            shown = await page.evaluate(f"[...document.querySelectorAll('{place}')].map((one) => one.textContent)")
            assert shown == EVIL
        await expect(page.locator("#problems li")).to_have_count(len(EVIL))
        for text in EVIL[:4]:
            await page.fill("#trace-url", text)
            await page.click("#trace button")
            await expect(page.locator("#trace-verdict.bad")).to_have_text(text)
            await expect(page.locator("#trace-steps li")).to_have_count(3)
        assert await page.evaluate(MARKS) == [None, None, 0]
        assert complaints == []


async def script(request):
    return web.Response(text="hacked = 'yes'", content_type="text/javascript")


@in_the_shared_loop
async def test_the_policy_holds(parts, monkeypatch):
    """Should a script or a frame get in all the same, the browser runs and loads nothing."""
    hub, port, chromium = parts
    async with (
        serving(script) as stranger,
        page_here(monkeypatch, hub, port),
    ):
        page, complaints = await opened(chromium, hub)
        await page.evaluate(
            """(stranger) => {
              const script = (fill) => {
                const made = document.createElement("script");
                fill(made);
                document.body.append(made);
              };
              script((made) => made.textContent = "hacked = 'yes'");
              script((made) => made.src = stranger);
              for (const html of ["<img src=x onerror='hacked=1'>", `<img src=${stranger}>`,
                `<iframe src=${stranger}>`])
                document.body.insertAdjacentHTML("beforeend", html);
              document.body.insertAdjacentHTML("beforeend", `<form id=evil action=${stranger}></form>`);
              document.getElementById("evil").submit();
            }""",
            stranger,
        )
        blocked = ["Executing inline script", "Loading the script", "Executing inline event handler", "Framing"]
        blocked += ["Loading the image", "Sending form data"]
        for what in blocked:
            await until(
                lambda what=what: any(what in text for text in complaints), f"not blocked: {what}: {complaints}"
            )
        refused = await page.evaluate("(url) => fetch(url).then(() => 'sent', () => 'refused')", stranger)
        assert refused == "refused"
        assert await page.evaluate("window.hacked") is None
        assert page.url == page_of(hub)


ATTACK = """<!DOCTYPE html><body>
<form id="form" method="post" enctype="text/plain" target="answer" action="PAGEtrace">
<input name="/user/alice/" value="x"></form>
<iframe name="answer"></iframe><iframe id="page" src="PAGE"></iframe>
<script>
(async () => {
  document.getElementById("form").submit();
  const found = [];
  for (const [place, options] of [
    ["trace", { method: "POST", mode: "no-cors", body: "/user/alice/" }],
    ["trace", { method: "POST", body: "/user/alice/", headers: { "X-XSRFToken": "x" } }],
    ["trace?_xsrf=x", { method: "POST", mode: "no-cors", body: "_xsrf=x" }],
    ["events", {}], ["", {}],
  ]) {
    try {
      const answer = await fetch("PAGE" + place, { credentials: "include", ...options });
      found.push(answer.type === "opaque" ? "opaque" : await answer.text());
    } catch { found.push("refused"); }
  }
  window.found = found;
})();
</script>"""


@in_the_shared_loop
async def test_another_page_in_an_admins_browser_traces_and_learns_nothing(parts, monkeypatch):
    """It is on the same host, so the browser sends the cookies with what it asks for."""
    traced = []

    async def trace(url):
        traced.append(url)
        return await saying(url)

    async def attack(request):
        return web.Response(text=ATTACK.replace("PAGE", target), content_type="text/html")

    hub, port, chromium = parts
    async with (
        serving(attack) as stranger,
        page_here(monkeypatch, hub, port, trace=trace),
    ):
        target = page_of(hub)
        page, _ = await opened(chromium, hub)
        await page.fill("#trace-url", "/mine/")
        await page.click("#trace button")
        await until(lambda: traced == ["/mine/"], "the page's own trace does not work")
        evil = await page.context.new_page()
        asked = []
        evil.on("response", lambda answer: asked.append((answer.request.method, answer.status)))
        await evil.goto(stranger)
        await evil.wait_for_function("window.found")
        assert await evil.evaluate("window.found") == ["opaque", "refused", "opaque", "refused", "refused"]
        await until(lambda: sum(method == "POST" for method, _ in asked) >= 3, "not all were tried")
        assert {status for method, status in asked if method == "POST"} == {403}
        frames = [frame for frame in evil.frames if frame.url.startswith(target)]
        for frame in frames:
            assert await frame.locator("#verdict").count() == 0
        assert traced == ["/mine/"]


def token_of(page: str) -> str:
    return re.search('data-xsrf="(.+?)"', page)[1]


async def test_odd_traces_are_answered(tmp_path):
    """And none is followed to another host, or makes the page fail."""
    async with hub_with_page(tmp_path / "hub") as (hub, _), browsing(hub.url, "ada") as ada:
        session = ada._session
        async with session.get(page_of(hub)) as answer:
            headers = {"X-XSRFToken": token_of(await answer.text())}
        before = hub.log.count("Traceback")
        for text in (
            *EVIL,
            "",
            "/",
            "//127.0.0.1:1/x",
            "/\r\nHost: evil/",
            "http://x\r\ny: z/",
            "http://[::1",
            "/%zz/%00",
            "http://user:pass@h/",
            "/" + "a/" * 9000,
            "http://\u0131.example/",
            "file:///etc/passwd",
            "http://127.0.0.1:99999/",
            "/../../x",
            "/user/\ud83d\ude00/".encode("utf-16", "surrogatepass").decode("utf-16"),
        ):
            async with session.post(f"{page_of(hub)}trace", data=text.encode(), headers=headers) as answer:
                assert answer.status == 200, text
                found = await answer.json()
            assert found["ok"] in (True, False), text
        for body, status in ((b"\xff\xfe", 400), (b"/" * (_MAX_BODY + 1), 400)):
            with suppress(aiohttp.ClientError):  # Tornado closes the connection of a body that is too large
                async with session.post(f"{page_of(hub)}trace", data=body, headers=headers) as answer:
                    assert answer.status >= status
        async with browsing(hub.url, "eve") as eve:
            for method in ("GET", "POST", "PUT", "DELETE"):
                for place in ("", "events", "trace"):
                    async with eve._session.request(method, page_of(hub) + place, headers=headers) as answer:
                        assert answer.status in (403, 405), (method, place)
                        assert "/user/" not in await answer.text()
        assert hub.log.count("Traceback") == before


async def test_viewers_see_no_secret(tmp_path, monkeypatch):
    """Also while the store is away, whose URL has the password in it."""
    lines = ("user default off", f'user hub on ">{PASSWORD}" ~* &* +@all')
    with RedisServer(tmp_path / "redis", *lines) as store:
        url = store.url.replace("://", f"://hub:{PASSWORD}@")
        away = f"http://127.0.0.1:{free_port()}"
        more = f"""
c.KVProxy.backend_class = "redis"
c.RedisBackend.url = {url!r}
c.KVProxy.rest_api_token = "{PASSWORD}-of-the-api"
c.KVProxy.extra_routes = {{"/away/": {away!r}}}
c.KVProxy.ready_timeout = c.RedisBackend.timeout = 1
"""
        async with hub_with_page(tmp_path / "hub", more) as (hub, _), browsing(hub.url, "ada") as ada:
            secrets = {PASSWORD.encode(), *in_environments(hub)}
            assert len(secrets) >= 3
            async with ada._session.get(page_of(hub)) as answer:
                page = await answer.text()
            headers = {"X-XSRFToken": token_of(page)}
            seen = bytearray(page.encode())

            async def trace(text):
                async with ada._session.post(f"{page_of(hub)}trace", data=text, headers=headers) as answer:
                    seen.extend(await answer.read())

            async def shows(events, condition):
                while not condition(line := await events.content.readline()):
                    seen.extend(line)
                seen.extend(line)

            async with ada._session.get(f"{page_of(hub)}events") as events:
                await shows(events, lambda line: b"/away/" in line)
                await trace("/away/x")
                store.kill()
                await shows(events, lambda line: b'"ok":false' in line and b"redis" in line.lower())
                await trace("/away/x")
                store.start()
            assert b"cannot be reached" in seen
            assert [secret for secret in secrets if secret in seen] == []
            assert not any(secret.decode() in hub.log for secret in secrets)


def in_environments(hub):
    """The tokens and passwords in the environments of the hub's processes."""
    found = set()
    for pid in hub.processes():
        with suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            found |= set(
                re.findall(rb"\b(?:JUPYTERHUB_API_TOKEN|%s)=([^\0]+)" % API_PASSWORD_ENV.encode(), environment)
            )
    return found
