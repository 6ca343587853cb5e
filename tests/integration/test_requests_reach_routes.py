"""What a route promises, seen from a client of a real Traefik."""

from __future__ import annotations

import asyncio
import random
import string

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyterhub.utils import subdomain_hook_idna, subdomain_hook_legacy

from jhub_kvproxy import RouteRejected
from tests.model import winner
from tests.strategies import DIFFICULT, NAMES, encodings, hosts, jupyterhub_escape, paths, routespec

ANY_CHARACTER = sorted({*DIFFICULT, *string.printable} - {"\ufffd"})


async def test_add_retarget_delete(site):
    proxy = await site.started()
    one, two = await site.server("one"), await site.server("two")
    for _ in range(20):
        await proxy.add_route("/user/a/", one, {})
        assert await site.client.server("/user/a/x") == "one"
        await proxy.add_route("/user/a/", two, {})
        assert await site.client.server("/user/a/x") == "two"
        await proxy.delete_route("/user/a/")
        assert await site.client.get("/user/a/x") == (404, None)


async def test_add_delete_add_reaches_the_last_target(site):
    proxy = await site.started()
    one, two = await site.server("one"), await site.server("two")
    for _ in range(20):
        await proxy.add_route("/user/a/", one, {})
        deleting = asyncio.create_task(proxy.delete_route("/user/a/"))
        await asyncio.sleep(0)
        await proxy.add_route("/user/a/", two, {})
        assert await site.client.server("/user/a/") == "two"
        await deleting
        assert await site.client.server("/user/a/") == "two"


async def test_routes_match_whole_segments(site):
    proxy = await site.started()
    await proxy.add_route("/", await site.server("hub"), {})
    await proxy.add_route("/user/a/", await site.server("a"), {})
    await proxy.add_route("/user/a/named/", await site.server("named"), {})
    for path, server in {
        "/": "hub",
        "/user/": "hub",
        "/user/a": "a",
        "/user/a/": "a",
        "/user/a?next=/user/ab": "a",
        "/user/a/b": "a",
        "/user/a/named": "named",
        "/user/a/named/x": "named",
        "/user/a/named2": "a",
        "/user/ab": "hub",
        "/user/ab/": "hub",
        "/user/A/": "hub",
        "/user%2Fa/": "hub",
    }.items():
        assert await site.client.server(path) == server, path


async def test_every_difficult_name_has_its_own_server(site):
    """Under every encoding, and none changes what another one, the hub or its login matches."""
    proxy = await site.started()
    hub = await site.server("hub")
    servers = {name: await site.server(f"of {number}") for number, name in enumerate(NAMES)}
    await proxy.add_route("/", hub, {})
    refused = set()

    async def add(name):
        try:
            await proxy.add_route(f"/user/{jupyterhub_escape(name)}/", servers[name], {"user": name})
        except RouteRejected:
            refused.add(name)

    await asyncio.gather(*map(add, NAMES))
    assert refused == set()
    rng = random.Random(0)
    for number, name in enumerate(NAMES):
        for _ in range(20):
            encoded = "".join(rng.choice(_forms(char)) for char in name)
            for path in (f"/user/{encoded}/tree", f"/user/{encoded}"):
                assert await site.client.server(path) == f"of {number}", path
    for path in ("/hub/login", "/z", "/", "/user/", "/user/nobody/", "/user/aab/"):
        assert await site.client.server(path) == "hub"
    table = await proxy.get_all_routes()
    assert {route["data"].get("user") for route in table.values()} == {None, *NAMES}


def _forms(char):
    """The forms that browsers, Python and JavaScript's encodeURI and encodeURIComponent send `char` in."""
    escaped = "".join(f"%{byte:02X}" for byte in char.encode())
    literal = [char] if char in string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@" else []
    return [*literal, escaped, escaped.lower()]


requests = st.tuples(
    hosts.map(lambda host: host or "other.example"),
    paths.flatmap(lambda path: st.tuples(*map(encodings, path))),
    st.sampled_from(["", "/"]),
)


async def test_the_longest_routespec_wins(site, monkeypatch):
    """For any set of routes and any request, Traefik decides as the ten-line model does."""
    proxy = await site.started()
    # JupyterHub's check keeps routes with and without hosts apart; the table need not.
    monkeypatch.setattr(proxy, "validate_routespec", lambda routespec: routespec)
    target = await site.server("any")
    loop = asyncio.get_running_loop()
    seen = {"requests": 0, "won by another than /": 0}

    async def check(patterns, asked):
        wanted = {routespec(host, path): f"{target}/{number}" for number, (host, path) in enumerate(patterns)}
        stale = [spec for spec in await proxy.get_all_routes() if spec not in wanted]
        await asyncio.gather(
            *(proxy.delete_route(spec) for spec in stale),
            *(proxy.add_route(spec, server, {}) for spec, server in wanted.items()),
        )
        for host, segments, slash in asked:
            path = "/" + "/".join(segments) + (slash if segments else "")
            expected = winner(wanted, host, path)
            _, said = await site.client.get(path, f"[{host}]:80" if ":" in host else host)
            got = f"{target}/{said['path'].split('/')[1]}" if said else None
            assert got == (wanted[expected] if expected else None), (expected, host, path)
            seen["requests"] += 1
            seen["won by another than /"] += expected not in (None, "/")

    @settings(max_examples=400)
    @given(st.lists(st.tuples(hosts, paths), unique=True, max_size=6), st.data())
    def for_all(patterns, draw):
        asked = draw.draw(st.lists(requests, max_size=4))
        for host, path in patterns:  # aimed at the routes, too
            encoded = draw.draw(st.tuples(*map(encodings, path)))
            asked += [(host or "other.example", encoded, "/"), (host or "a.example.com", (*encoded, "b"), "")]
            asked += [(host or "other.example", (*encoded[:-1], "".join(encoded[-1:]) + "b"), "")]
        asyncio.run_coroutine_threadsafe(check(patterns, asked), loop).result()

    await asyncio.to_thread(for_all)
    assert seen["requests"] > 1000
    assert seen["won by another than /"] > 200


async def test_a_route_with_a_host_is_for_that_host_only(site):
    proxy = await site.started(host_routing=True)
    await proxy.add_route("/", await site.server("hub"), {})
    for host in ("sub.example.com", "Upper.Example.COM", "dotted.example.com.", "with-port.example.com:8443", "[::1]"):
        await proxy.add_route(f"{host}/user/x/", await site.server(host), {})
    for asked, server in {
        "sub.example.com": "sub.example.com",
        "sub.example.com:1234": "sub.example.com",
        "SUB.example.com": "sub.example.com",
        "sub.example.com.": "sub.example.com",
        "upper.example.com": "Upper.Example.COM",
        "dotted.example.com": "dotted.example.com.",
        "with-port.example.com": "with-port.example.com:8443",
        "with-port.example.com:8443": "with-port.example.com:8443",
        "[::1]:8000": "[::1]",
        "[::1]": "[::1]",
        "example.com": "hub",
        "other.sub.example.com": "hub",
        "subxexample.com": "hub",
    }.items():
        assert await site.client.server("/user/x/y", asked) == server, asked
        assert await site.client.server("/user/xy", asked) == "hub"
    specs = set(await proxy.get_all_routes())
    assert {"Upper.Example.COM/user/x/", "dotted.example.com./user/x/", "with-port.example.com:8443/user/x/"} < specs


@pytest.mark.parametrize("delivery", ["push", "store"])
@pytest.mark.parametrize("hook", [subdomain_hook_legacy, subdomain_hook_idna])
async def test_every_user_has_a_host_that_is_served(site, hook, delivery):
    proxy = await site.started(host_routing=True, delivery=delivery)
    await proxy.add_route("/", await site.server("hub"), {})
    for name in ("-dash-", "-", "_u_", "a-", ".a", "a..b", "a.b", "a@b.c", "~x", "zoë", "xn--x", "9", "%41", "x" * 80):
        host = hook(name, "hub.example", "user")
        await proxy.add_route(f"{host}/user/x/", await site.server(name), {})
        for asked in (host, host.upper(), f"{host}:8000", f"{host}."):
            assert await site.client.server("/user/x/", asked) == name, asked


async def test_host_routing_is_checked_as_jupyterhub_does(site):
    proxy = await site.started()
    with pytest.raises(ValueError, match="not using host-routing"):
        await proxy.add_route("example.com/user/", "http://127.0.0.1:1", {})


async def test_requests_arrive_as_they_were_sent(site):
    proxy = await site.started()
    await proxy.add_route("/user/a/", await site.server("a"), {})
    rng = random.Random(1)
    for _ in range(200):
        text = "".join(rng.choices(ANY_CHARACTER, k=5))
        path = f"/user/a//{jupyterhub_escape(text)}/files/x%2Fy?q={jupyterhub_escape(text)}"
        status, said = await site.client.get(path)
        assert (status, said and said["path"]) == (200, path)


async def test_a_target_keeps_its_path(site):
    """Prepended to the request's path, as with configurable-http-proxy."""
    proxy = await site.started()
    target = await site.server("service")
    for base in ("/base/x", "/base/x/", ""):
        await proxy.add_route("/services/s/", target + base, {})
        _, said = await site.client.get("/services/s/a%2Fb")
        assert said["path"] == f"{base.rstrip('/')}/services/s/a%2Fb"
        assert (await proxy.get_route("/services/s/"))["target"] == target + base


async def test_what_is_refused_changes_nothing(site):
    proxy = await site.started()
    await proxy.add_route("/user/a/", await site.server("a"), {"n": 1})
    before = await proxy.get_all_routes()
    for target in ("http+unix://%2Fsock", "http://", "http://u:p@host:1"):
        with pytest.raises(RouteRejected):
            await proxy.add_route("/user/a/", target, {})
    for spec in ("/user/../", "/a//"):
        with pytest.raises(RouteRejected):
            await proxy.add_route(spec, "http://127.0.0.1:1", {})
    assert await proxy.get_all_routes() == before
    assert await site.client.server("/user/a/") == "a"


async def test_a_template_in_a_name_is_text(site, monkeypatch):
    monkeypatch.setenv("KVPROXY_TEST_SECRET", "leaked")
    proxy = await site.started()
    name = "{{ env `KVPROXY_TEST_SECRET` }}"
    await proxy.add_route(f"/user/{jupyterhub_escape(name)}/", await site.server("a"), {"user": name})
    assert await site.client.server(f"/user/{jupyterhub_escape(name)}/") == "a"
    assert await site.client.server("/user/leaked/") is None


async def test_connections_survive_route_changes(site):
    proxy = await site.started()
    one, two = await site.server("one"), await site.server("two")
    await proxy.add_route("/user/a/", one, {})
    base = f"http://127.0.0.1:{site.port}/user/a"

    async with aiohttp.ClientSession() as session:
        websocket = await session.ws_connect(f"{base}/ws")
        stream = await session.get(f"{base}/stream")
        more = asyncio.Event()

        async def slow_body():
            for _ in range(50):
                await more.wait()
                more.clear()
                yield b"x" * 1000

        upload = asyncio.create_task(session.post(f"{base}/upload", data=slow_body()))
        for number in range(50):
            await asyncio.gather(
                proxy.add_route(f"/user/u{number}/", two, {}),
                proxy.add_route("/user/a/", two if number % 2 else one, {}),
            )
            more.set()
            await websocket.send_str(str(number))
            assert (await websocket.receive_str(timeout=30)) == f"one: {number}"
            assert (await asyncio.wait_for(stream.content.readline(), 30)) == b"one\n"
        await proxy.delete_route("/user/a/")
        await websocket.send_str("after delete")
        assert await websocket.receive_str(timeout=30) == "one: after delete"
        while not upload.done():
            more.set()
            await asyncio.sleep(0.01)
        assert await (await upload).json() == {"server": "one", "size": 50_000}
        await websocket.close()
        stream.close()


async def test_servers_are_told_who_asked_and_how(site):
    """Told by Traefik, not by the client."""
    proxy = await site.started()
    await proxy.add_route("/", await site.server("hub"), {})
    _, said = await site.client.get("/", "hub.example", "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n")
    headers = said["headers"]
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == ("127.0.0.1", "http")
    assert headers["Host"] == "hub.example"
