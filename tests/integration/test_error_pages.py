"""What users get in the place of a server that does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from jhub_kvproxy.errors import TraefikError
from jhub_kvproxy.hub.proxy import KVProxy
from servers.ports import free_port
from tests.hub import Hub, until
from tests.pages import HOW_TO, texts
from tests.servers import serving, user_server
from tests.stores import on_every_store

PAGE = "<h1>503 : the page of the hub</h1>"
PLAIN = "Service Unavailable"
SECRETS = {"Cookie": "jupyterhub-session-id=secret", "Authorization": "token secret", "X-Mine": "secret"}


@asynccontextmanager
async def noting(answer):
    """The URL of a server that does what `answer` does, and the requests that it got."""
    asked = []

    async def answer_and_note(request):
        asked.append(request)
        return await answer(request)

    async with serving(answer_and_note) as url:
        yield url, asked


async def hub_page(request):
    """As JupyterHub does: status 200, and a cookie for somebody who is not logged in if he navigates here."""
    headers = {"Content-Security-Policy": "frame-ancestors 'self'"}
    if request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
        headers["Set-Cookie"] = "_xsrf=nobody; Path=/hub/"
    return web.Response(text=PAGE, content_type="text/html", headers=headers)


async def own_status(request):
    status = int(request.path.rpartition("/")[2])
    return web.Response(status=status, text=f"the app's own {status}", headers={"Set-Cookie": "app=1"})


def dead():
    """The URL of a server that is not there."""
    return f"http://127.0.0.1:{free_port()}"


@asynccontextmanager
async def visitor():
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


async def get(session, site, path, **headers):
    """Status, headers and text of an answer."""
    async with session.get(f"http://127.0.0.1:{site.port}{path}", headers=headers) as answer:
        return answer.status, answer.headers, await answer.text()


def assert_plain(answer):
    status, headers, text = answer
    assert (status, text, headers["Content-Type"]) == (503, PLAIN, "text/plain; charset=utf-8")
    assert (headers["Cache-Control"], headers["Retry-After"]) == ("no-store", "10")


@on_every_store
@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_a_dead_server_gives_the_hubs_page_and_an_app_its_own(site, delivery):
    async with visitor() as session, noting(hub_page) as (hub, asked), noting(own_status) as (app, _):
        proxy = await site.started(delivery=delivery, error_target=f"{hub}/hub/error")
        await proxy.add_route("/", hub, {"hub": True})
        await proxy.add_route("/user/gone/", dead(), {})
        await proxy.add_route("/user/app/", app, {})
        # So many that some have nodes above them.
        await asyncio.gather(*(proxy.add_route(f"/user/gone{number}/", dead(), {}) for number in range(30)))
        assert (await get(session, site, "/user/gone7/"))[::2] == (503, PAGE)
        asked.clear()

        status, headers, text = await get(session, site, "/user/gone/lab?token=a&b=c", Accept="text/html", **SECRETS)
        assert (status, text, headers["Content-Type"]) == (503, PAGE, "text/html; charset=utf-8")
        assert "Set-Cookie" not in headers
        assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"
        (request,) = asked
        assert request.path == "/hub/error/503"
        assert request.query == {"url": f"http://127.0.0.1:{site.port}/user/gone/lab?token=a&b=c"}
        assert request.method == "GET"
        assert request.headers == {
            "Host": hub.removeprefix("http://"),
            "Accept": "text/html",
            # Traefik adds it where it routes by itself.
            **({"Accept-Encoding": "gzip"} if delivery == "store" else {}),
            "Sec-Fetch-Mode": "no-cors",
        }

        for own in (200, 404, 500, 503):
            status, headers, text = await get(session, site, f"/user/app/{own}")
            assert (status, text, headers["Set-Cookie"]) == (own, f"the app's own {own}", "app=1")
        for own in (502, 504):
            got = (await get(session, site, f"/user/app/{own}"))[::2]
            # Traefik's middleware sees the status alone.
            assert got == ((own, f"the app's own {own}") if delivery == "push" else (503, PAGE))


async def test_websockets_to_a_dead_server_get_a_bare_503(site):
    async with visitor() as session, noting(hub_page) as (hub, asked):
        proxy = await site.started(delivery="push", error_target=f"{hub}/hub/error/")
        await proxy.add_route("/user/gone/", dead(), {})
        await proxy.add_route("/user/here/", await site.server("here"), {})
        public = f"http://127.0.0.1:{site.port}"
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await session.ws_connect(f"{public}/user/gone/ws")
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        assert_plain(await get(session, site, "/user/gone/ws", **upgrade))
        assert not asked
        async with session.ws_connect(f"{public}/user/here/ws") as websocket:
            await websocket.send_str("x" * 100_000)
            assert (await websocket.receive()).data == "here: " + "x" * 100_000


async def broken_page(request):
    return web.Response(status=500, text="a traceback")


@pytest.mark.parametrize("page", [None, broken_page], ids=["down", "broken"])
async def test_without_the_hub_there_is_a_plain_page(site, page):
    async with visitor() as session, noting(page) as (broken, asked):
        hub = broken if page else dead()
        proxy = await site.started(delivery="push", error_target=f"{hub}/hub/error")
        await proxy.add_route("/", dead(), {"hub": True})
        await proxy.add_route("/user/gone/", dead(), {})
        await asyncio.gather(*(proxy.add_route(f"/user/gone{number}/", dead(), {}) for number in range(30)))
        for path in ("/hub/login", "/user/gone/", "/user/gone7/", "/user/nobody/"):
            assert_plain(await get(session, site, path))
        # The hub itself is never asked for the page about it.
        assert len(asked) == (2 if page else 0)


async def test_the_hubs_route_keeps_the_hubs_own_pages(site):
    async with visitor() as session, noting(own_status) as (hub, _):
        proxy = await site.started(delivery="push", error_target=f"{hub}/hub/error")
        await proxy.add_route("/", hub, {"hub": True})
        for own in (404, 500, 503):
            assert (await get(session, site, f"/hub/{own}"))[::2] == (own, f"the app's own {own}")


async def test_error_pages_can_be_off(site):
    async with visitor() as session:
        proxy = await site.started(delivery="push", error_target="")
        await proxy.add_route("/user/gone/", dead(), {})
        assert (await get(session, site, "/user/gone/"))[::2] == (502, "Bad Gateway")


def test_by_default_the_pages_are_the_hubs():
    proxy = KVProxy(hub=SimpleNamespace(url="http://10.0.0.1:8081/a%20b/hub/"), delivery="store")
    assert proxy.error_target == "http://10.0.0.1:8081/a%20b/hub/error"
    keys = proxy.control.writer.table.serving.fixtures
    assert keys["http/services/kvproxy-error-target/loadBalancer/servers/0/url"] == "http://10.0.0.1:8081"
    # JupyterHub has no use for the user's URL, which may hold a token, but would log it.
    assert keys["http/middlewares/kvproxy-error-page/errors/query"] == "/a%20b/hub/error/{status}"
    hub = SimpleNamespace(url="http://10.0.0.1:8081/hub/")
    keys = KVProxy(hub=hub, error_target="http://other:1/", delivery="store").control.writer.table.serving.fixtures
    assert keys["http/middlewares/kvproxy-error-page/errors/query"] == "/{status}?url={url}"


async def test_a_real_hubs_page_and_none_when_it_is_killed(tmp_path):
    config = f"c.KVProxy.extra_routes = {{'/gone/': {dead()!r}}}"
    async with visitor() as session, Hub(tmp_path, config) as hub:
        await hub.start("--JupyterHub.cleanup_proxy=False")
        status, headers, text = await get(session, hub, "/gone/api?token=secret", **SECRETS)
        assert status == 503
        assert headers["Content-Type"] == "text/html"
        assert "Set-Cookie" not in headers
        assert "Your server appears to be down." in text
        assert "href='/hub/home'" in text
        assert "token=secret" not in hub.log
        await hub.kill()

        async def is_plain(path):
            answer = await get(session, hub, path)
            return answer[0] == 503 and answer[2] == PLAIN

        for path in ("/gone/", "/hub/login"):
            await until(lambda path=path: is_plain(path), f"no plain page at {path}")
            assert_plain(await get(session, hub, path))
        os.kill(hub.traefik_pid, signal.SIGTERM)


async def test_traffic_is_as_without_error_pages(site):
    """Bodies, streams and interim answers pass through the middleware as they come."""
    async with visitor() as session, user_server("here") as here, noting(hub_page) as (hub, asked):
        proxy = await site.started(delivery="push", error_target=f"{hub}/hub/error")
        await proxy.add_route("/user/here/", here, {})
        public = f"http://127.0.0.1:{site.port}/user/here"
        async with session.get(f"{public}/stream") as stream:
            assert await stream.content.readline() == b"here\n"
        async with session.post(f"{public}/upload", data=b"x" * 3_000_000, expect100=True) as answer:
            assert (await answer.json())["size"] == 3_000_000
        assert not asked


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    "own",
    ["", "<h1>Back soon, caf\u00e9 {{ env `HOME` }}</h1>", *texts(HOW_TO / "error-pages.md", "html")],
    ids=["ours", "the admin's", "that of the guide"],
)
async def test_browsers_see_a_page_while_the_hub_is_away(own, site, tmp_path):
    file = tmp_path / "away.html"
    file.write_text(own)
    hub = dead()
    async with visitor() as session:
        traits = {"away_page": str(file)} if own else {}
        proxy = await site.started(delivery="push", error_target=f"{hub}/hub/error", **traits)
        await proxy.add_route("/", hub, {"hub": True})
        await proxy.add_route("/user/gone/", dead(), {})
        for path in ("/hub/login", "/user/gone/lab"):
            status, headers, text = await get(session, site, path, **BROWSER)
            assert (status, headers["Content-Type"]) == (503, "text/html; charset=utf-8")
            assert (headers["Cache-Control"], headers["Retry-After"]) == ("no-store", "10")
            assert text == own if own else "JupyterHub is away for the moment" in text
            assert own or headers["Content-Security-Policy"].startswith("default-src 'none';")
            assert_plain(await get(session, site, path, Accept="application/json"))
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
            assert_plain(await get(session, site, path, **BROWSER, **upgrade))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read: No such file"), (b" \n", "is empty"), (b"x" * 65537, "has 65537 bytes")],
)
async def test_a_page_that_cannot_be_shown_ends_the_start(content, sentence, site, tmp_path):
    file = tmp_path / "away.html"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TraefikError, match=f"KVProxy.away_page: .*{sentence}"):
        await site.started(delivery="push", away_page=str(file))
