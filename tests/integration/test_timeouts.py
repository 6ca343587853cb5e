"""How long Traefik waits for users and for the servers behind it."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from traitlets import TraitError

from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.traefik.static import duration
from jhub_kvproxy.traefik.upstream import TimeLimits, upstream_static
from tests.hub import until
from tests.internal_ssl import Authorities, app_with_certificates
from tests.slow_server import SlowServer, slow_server

PATH = "/user/alice/"
SHORT = 0.3
SHORT_LIMITS = {"timeout": SHORT, "proxy_timeout": SHORT, "server_keep_alive_timeout": SHORT}
#: 504, or what pages for errors make of it.
GIVEN_UP = (503, 504)


@pytest.fixture(params=["http", "internal_ssl"])
async def slow(request, site, tmp_path) -> AsyncIterator[SlowServer]:
    """A slow server behind a Traefik with short limits; all limits hold with internal_ssl too."""
    app = await app_with_certificates(tmp_path / "internal-ssl") if request.param == "internal_ssl" else None
    proxy = await site.started(app=app, delivery="push", **SHORT_LIMITS)
    async with slow_server(SHORT, Authorities(app).server("user-alice") if app else None) as server:
        await proxy.add_route(PATH, server.url, {})
        yield server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_server_that_begins_no_answer_is_given_up(site, slow, session):
    async with session.get(f"http://127.0.0.1:{site.port}{PATH}never") as answer:
        assert answer.status in GIVEN_UP
    async with session.get(f"http://127.0.0.1:{site.port}{PATH}upload") as answer:
        assert answer.status == 200


async def test_a_download_and_a_websocket_may_be_silent_for_longer(site, slow, session):
    url = f"http://127.0.0.1:{site.port}{PATH}"
    async with session.ws_connect(url + "ws") as websocket, session.get(url + "download") as answer:
        await websocket.send_str("still there")
        assert await answer.text() == "part part part "
        assert (await websocket.receive(30)).data == "still there"


async def test_an_idle_connection_to_a_server_is_closed(site, slow, session):
    async with session.get(f"http://127.0.0.1:{site.port}{PATH}upload") as answer:
        assert answer.status == 200
    await until(lambda: all(each.is_closing() for each in slow.connections), "the connection stays open")


async def test_a_request_that_does_not_come_in_ends(site, slow, session):
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"POST {PATH}upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nonly".encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert b" 200 " not in answer
    async with session.post(f"http://127.0.0.1:{site.port}{PATH}upload", data=b"all of it") as whole:
        assert await whole.text() == "9 bytes"


async def test_what_the_limits_are_by_default(site):
    """To wait for them, or for those not to come that there are not, would take minutes."""
    await site.started(delivery="push")
    static = tomllib.loads((site.directory / "run" / "traefik.toml").read_text())
    assert static["entryPoints"]["public"]["transport"]["respondingTimeouts"]["readTimeout"] == "60000ms"
    assert static["serversTransport"]["forwardingTimeouts"] == {
        "dialTimeout": "30000ms",
        "responseHeaderTimeout": "0ms",
        "idleConnTimeout": "60000ms",
    }
    dynamic = tomllib.loads((site.directory / "run" / "dynamic" / "kvproxy-base.toml").read_text())
    plugin = dynamic["http"]["middlewares"]["kvproxy-routes"]["plugin"]["kvproxy"]
    assert {name: plugin[name] for name in ("headerTimeout", "timeout", "responseTimeout")} == {
        "headerTimeout": 60_000,
        "timeout": 3_600_000,
        "responseTimeout": 0,
    }


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("trait", [*SHORT_LIMITS, "header_timeout"])
def test_what_is_no_number_of_seconds_is_refused(trait, value):
    with pytest.raises(TraitError, match=trait):
        KVProxy(**{trait: value})


@pytest.mark.parametrize(
    ("header_timeout", "timeout", "for_the_head"),
    [(60, 3600, 60), (60, 0, 60), (0, 3600, 3600), (60, 10, 10), (0, 0, 0)],
)
def test_traefiks_own_limit_is_that_of_the_head_if_our_plugin_sees_to_the_rest(header_timeout, timeout, for_the_head):
    limits = TimeLimits(timeout, header_timeout, 0, 60)

    def own(*, has_plugin: bool) -> str:
        public = upstream_static(limits, has_plugin=has_plugin)["entryPoints"]["public"]
        return public["transport"]["respondingTimeouts"]["readTimeout"]

    assert own(has_plugin=True) == duration(for_the_head)
    assert own(has_plugin=False) == duration(timeout)
