"""Options that change requests on their way to a route's server."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import aiohttp
import pytest
from traitlets import TraitError
from traitlets.config import Config

from jhub_kvproxy.hub.proxy import KVProxy
from tests.site import leave
from tests.stores import on_every_store
from tests.strategies import DIFFICULT, jupyterhub_escape
from tests.visitors import NAMES, routespec, visitors

PLAIN = "/user/plain/"
CONTROL = "\x00\t\n\r\x7f"


def every_encoding(name):
    """`name` as JupyterHub writes it, with all of it encoded, and with as little as a request line allows."""
    few = quote(name, safe="+'&=,:;!$()*@~")
    return {jupyterhub_escape(name), "".join(f"%{byte:02x}" for byte in name.encode()), quote(name, safe=""), few}


async def seen(site, path, host="127.0.0.1"):
    """What the server got of a request that it answered."""
    status, said = await site.client.get(path, host)
    assert status == 200, (path, status)
    return said


@on_every_store
@pytest.mark.parametrize("delivery", ["push", "store"])
async def test_strip_prefix_in_every_encoding(site, delivery):
    name = f" {''.join(sorted(set(DIFFICULT) - set(CONTROL)))} "
    spec = f"/user/{jupyterhub_escape(name)}/"
    proxy = await site.started(delivery=delivery, strip_prefix=[spec])
    await proxy.add_route(spec, await site.server("a"), {})
    await proxy.add_route(PLAIN, await site.server("plain"), {})
    for form in every_encoding(name):
        for rest in ("", "/", "/x", "/x/?q=/y", "/%2F..%2F", "/%E7%A7%80+%20"):
            said = await seen(site, f"/user/{form}{rest}")
            assert said["path"] == (rest if rest[:1] == "/" else "/" + rest)
            assert said["headers"]["X-Forwarded-Prefix"].startswith("/user/ ")
    assert (await seen(site, PLAIN + "x"))["path"] == PLAIN + "x"


async def test_a_stripped_path_is_never_a_host(site):
    """``//evil.example`` in a redirect of the server would be another site; CHP passes it on."""
    proxy = await site.started(delivery="push", strip_prefix=["/a/"])
    await proxy.add_route("/a/", await site.server("a"), {})
    for rest in ("//evil.example/", "//evil.example/%2e%2e", "///evil.example", "/./evil", "/x/../y", "//"):
        assert await site.client.get(f"/a{rest}") == (400, None), rest
    for rest in ("/%2Fevil.example", "/%5Cevil.example", "/%2F%2Fevil.example"):
        assert (await seen(site, f"/a{rest}"))["path"] == rest


async def test_strip_prefix_for_all_routes_and_with_hosts(site):
    proxy = await site.started(delivery="push", host_routing=True, strip_prefix=True)
    for spec, name in {"/": "any", "a.example.org/": "host", "a.example.org/user/b/": "b"}.items():
        await proxy.add_route(spec, await site.server(name), {})
    for host, path, server, rest in [
        ("a.example.org", "/user/b/x", "b", "/x"),
        ("a.example.org", "/user/c", "host", "/user/c"),
        ("else", "/user/b/x", "any", "/user/b/x"),
    ]:
        said = await seen(site, path, host)
        assert (said["server"], said["path"]) == (server, rest)


async def test_change_origin(site):
    proxy = await site.started(delivery="push", change_origin=["/user/changed"])
    targets = {name: await site.server(name) for name in ("changed", "plain")}
    for name, target in targets.items():
        await proxy.add_route(f"/user/{name}/", target, {})
    hosts = {name: (await seen(site, f"/user/{name}/", "hub.example.org"))["headers"] for name in targets}
    assert hosts["changed"]["Host"] == targets["changed"].removeprefix("http://")
    assert hosts["changed"]["X-Forwarded-Host"] == "hub.example.org"
    assert hosts["plain"]["Host"] == "hub.example.org"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{site.port}/user/changed/ws") as websocket,
    ):
        await websocket.send_str("x")
        assert (await websocket.receive()).data == "changed: x"


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "/base/path/user/a/x"),
        ({"prepend_path": False}, "/user/a/x"),
        ({"prepend_path": ["/user/b/"]}, "/user/a/x"),
        ({"prepend_path": ["/user/a/"], "strip_prefix": True}, "/base/path/x"),
        ({"prepend_path": False, "strip_prefix": True, "change_origin": True}, "/x"),
    ],
)
async def test_prepend_path(site, options, path):
    proxy = await site.started(delivery="push", **options)
    await proxy.add_route("/user/a/", await site.server("a") + "/base/path", {})
    assert (await seen(site, "/user/a/x"))["path"] == path


@on_every_store
@pytest.mark.parametrize("is_off_first", [True, False])
async def test_another_hub_with_other_options_takes_over_without_a_wrong_answer(site, is_off_first):
    one, hub = await site.server("one"), await site.server("hub")
    off = {"error_target": ""}
    on = {
        "error_target": f"{hub}/hub/error",
        "strip_prefix": [routespec(name) for name in NAMES[::2]],
        "change_origin": True,
        "prepend_path": False,
    }
    first = await site.started(**(off if is_off_first else on))
    await first.add_route("/", hub, {"hub": True})
    await asyncio.gather(*(first.add_route(routespec(name), one + "/base", {}) for name in NAMES))
    await leave(first)
    async with visitors(site, dict.fromkeys(NAMES, "one"), "hub"):
        second = await site.started(**(on if is_off_first else off))
        await second.add_route("/user/more/", one, {})
    assert second.control.local.supervisors[0]._pid == first.control.local.supervisors[0]._pid
    table = second.control.writer.table
    fresh = type(table)(table.routing, table.routes.values(), second.control.writer.table.serving)
    stored = (await second.backend.load()).keys
    assert {key: value for key, value in stored.items() if "revision" not in key} == fresh.keys
    said = await seen(site, routespec(NAMES[0]) + "x")
    assert said["path"] == ("/x" if is_off_first else f"/base{routespec(NAMES[0])}x")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("strip_prefix", ["a b/c/"], "strip_prefix has an invalid routespec.*not a host name"),
        ("strip_prefix", ["/a/", "/a%0Ab/"], "strip_prefix names a path with control characters"),
        ("change_origin", ["alice"], "change_origin has an invalid routespec.*it has no '/'"),
        ("prepend_path", ["/a/../b/"], r"prepend_path has an invalid routespec.*'\.\.'"),
        ("error_target", "hub:8081/error", "error_target = .*must start with http"),
        ("error_target", "http://hub/error?x=1", "error_target = .*query"),
        ("error_target", "http://me:secret@hub/", r"error_target = .*credentials"),
    ],
)
def test_what_cannot_be_is_said_at_once(option, value, words):
    with pytest.raises(TraitError, match=words):
        KVProxy(config=Config(KVProxy={option: value}))
