"""Routes whose names, hosts, targets and data are written to become something else in Traefik's configuration."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from urllib.parse import quote

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from jhub_kvproxy import BackendRejected, RouteRejected
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.routing.routes import Route
from tests.hostile.explore import explore
from tests.hostile.scene import scene
from tests.hostile.strategies import values
from tests.model import winner
from tests.stores import find_store
from tests.strategies import NAMES
from tests.wire import request

#: Each ends a string, a list, a rule or a template somewhere, or is taken for another name or path.
PIECES = [
    *('"', "'", "`", "\\", '\\"', ")", "(", "`)", '")', " || ", " && ", "!", "PathPrefix(`/`)", 'PathPrefix("/hub/")'),
    *("Host(`hub.example`)", "HostRegexp(`.*`)", "{{ env `SECRET` }}", "{{", "}}", "${SECRET}", "$1", "%s", "{id:.*}"),
    *("\n", "\r\n", "\x00", "\t", "\x1b[2J", "\u2028", "\u202e", "\ufeff", "\ud800", "\udc80", "\ufffd", "\U0010ffff"),
    *("@file", "@internal", "api@internal", "@rest", ",", ",p", ".", "..", "/", "//", "/../", "%2F", "%2e%2e", "%00"),
    *("%", "%zz", "%ff", "%ED%A0%80", ";", "?", "#", "*", ".*", "(?i)", "\\Q", "\\E", "$", "^", "|", "[", "]", "+"),
    *(
        "\u0430lice",
        "\uff41lice",
        "ALICE",
        "ali\u0301ce",
        "\u017f",
        "\u212a",
        "hub",
        "alice",
        "user",
        "p.user.alice",
        "_",
        "-",
    ),
    *("[[http.routers]]", "rule =", "'''", '"""', "# ", "</script>", "null", "true", "0", "kvproxy-revision"),
]
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
raw_specs = st.one_of(
    st.builds("/user/{}/".format, texts),
    st.builds(lambda text: f"/user/{quote(text, safe='@~', errors='surrogatepass')}/", texts),
    st.builds("{}/user/x/".format, texts),
    st.builds("{}.hub.example/".format, texts),
    st.builds("/user/alice/{}".format, texts),
    texts,
    st.builds("/user/x{}/".format, st.sampled_from(["/a" * 1100, "y" * 5000, "/%2F" * 300, "/" + "\u79c0" * 900])),
)
_DIRTY = [
    "",
    "/",
    "/base",
    "/a`b",
    '/"',
    "/a b",
    "/{{ env `SECRET` }}",
    "?q",
    "#f",
    "\n",
    "\\",
    "/%0a",
    "/é",
    ",http://x",
    "@x",
    *("//", "/..", "/../x", "/%2e%2e", "/.", "/a;b", "/@x", "//x/", "/" + "x" * 5000, "/a" * 1000),
]
_STRANGE = [
    "http://",
    "https://",
    "file:///etc/passwd",
    "h2c://127.0.0.1:1",
    "http://[::1",
    "http://a:b@127.0.0.1:1",
    "",
    "\x00",
    *("http://a:99999", "http:a", "//a:1", "http:///a", "http://[127.0.0.1]:1", "http://[::1]x:1", "http://a:1:1"),
    *("http://a:4_1", "http://a:\uff11", "http://\ud800:1", "ws://a:1", "unix:/a", "http+unix://%2Fa"),
    *(None, 7, b"http://a"),
]
#: The same server in other words.
_SAME = [
    ("http://", "HTTP://"),
    ("127.0.0.1:", "127.0.0.1:0"),
    ("127.0.0.1", "[::ffff:127.0.0.1]"),
    ("127.0.0.1", "localhost"),
]
#: What JSON does not have, or gives back as something else.
_NO_JSON = [float("nan"), float("inf"), b"x", {1: 2}, (1,), {"x"}, object]
SECRET = "leaked-by-a-template"
#: What strangers may not change: who gets these, whatever routes there are beside.
FIXED = {"/": "hub", "/hub/": "hub", "/user/alice/": "alice"}
WATCHED = {
    "/hub/login": "hub",
    "/": "hub",
    "/user/alice/tree": "alice",
    "/user/nobody-at-all/": "hub",
    "/api/rawdata": "hub",
}


@pytest.fixture(scope="module")
def secret():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", SECRET)
        yield


@pytest.fixture(scope="module", params=["push", "toml", "etcd", "consul", "redis"])
def play(request, tmp_path_factory, secret):
    """Routes that the hub pushes, and that Traefik reads from each store."""
    directory = tmp_path_factory.mktemp("injection")
    is_pushed = request.param == "push"
    store = find_store("toml" if is_pushed else request.param, request, directory)
    with scene(directory, store, FIXED, delivery="push" if is_pushed else "store", rebuild_share=1.0) as play:
        play.examples = 80 if is_pushed else 15
        play.run(play.echo("stranger"))
        yield play


@pytest.mark.fuzz
def test_a_route_takes_its_own_requests_and_no_others(play):
    """Each of a dozen hostile routes at a time is refused, or serves what the ten-line model says, and nothing more."""
    stranger = play.echoes["stranger"].url
    counted = {"accepted": 0, "refused": 0}

    async def add(spec, target, data):
        if spec in FIXED:
            return
        try:
            await play.proxy.add_route(spec, target, data)
            counted["accepted"] += 1
        except RouteRejected:
            counted["refused"] += 1

    async def replace(wanted):
        there = await play.proxy.get_all_routes()
        await asyncio.gather(
            *(play.proxy.delete_route(spec) for spec in there if spec not in FIXED),
            *(add(*route) for route in wanted),
        )
        return await play.proxy.get_all_routes()

    targets = st.one_of(
        st.just(stranger),
        st.just(stranger),
        st.sampled_from(_DIRTY).map(lambda dirt: stranger + dirt),
        st.sampled_from(_SAME).map(lambda words: stranger.replace(*words)),
        st.sampled_from(_STRANGE),
    )
    data = st.one_of(
        st.dictionaries(texts, texts | st.none(), max_size=3),
        st.dictionaries(texts, values | st.sampled_from(_NO_JSON), max_size=3),
        st.sampled_from([None, [], "x"]),
    )

    @given(st.lists(st.tuples(raw_specs, targets, data), min_size=6, max_size=24, unique_by=lambda route: route[0]))
    def for_all(wanted):
        there = play.run(replace(wanted))
        for spec, target, data in wanted:
            if spec in there and spec not in FIXED:
                assert (there[spec]["target"], there[spec]["data"]) == (target, {} if data is None else data), spec
        asked = list(WATCHED)
        for spec in there:
            path = "/" + "/".join(map(_again, spec.partition("/")[2].split("/")))
            asked += [path, path + "x", f"/{path.strip('/')}x/", path.upper()]
        replies = play.ask(*(request(path) for path in asked))
        for path, reply in zip(asked, replies, strict=True):
            expected = winner(there, "hub.example", path)
            wants = FIXED.get(expected or "", "stranger")
            may_be_refused = re.search(r"[/\\]\.\.|%(?![0-9a-fA-F]{2})|%5[cC]\.\.", path)
            who = "400" if may_be_refused and reply.server == "400" else wants
            assert reply.server == who, f"CORPUS {path!r}: {reply.server}, not {wants}, of {list(there)}"
            assert SECRET not in reply.body.decode("latin-1")
        assert [reply.server for reply in replies[: len(WATCHED)]] == list(WATCHED.values())

    explore(for_all, play.examples)
    assert min(counted.values()) > play.examples / 5


def _again(segment):
    """As a client would send what stands in a routespec, which has been quoted or not."""
    return quote(segment, safe="%@~!$&'()*+,;=:", errors="surrogatepass")


def test_traefik_finds_no_fault_with_hostile_routes(play):
    """One that it did not understand would be disabled, or take all others with it."""

    async def add():
        await asyncio.gather(
            *(
                play.proxy.add_route(f"/user/{quote(name, safe='@~')}/", play.echoes["stranger"].url, {})
                for name in NAMES
            )
        )
        instance = play.proxy.control.local.supervisors[0]._instance
        headers = {"Authorization": f"Basic {base64.b64encode(f'kvproxy:{instance.api_password}'.encode()).decode()}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"http://127.0.0.1:{instance.api_port}/api/rawdata") as answer,
        ):
            return await answer.json()

    said = play.run(add())
    faults = {
        name: thing.get("error") or thing.get("err")
        for kind in ("routers", "services", "middlewares")
        for name, thing in said[kind].items()
        if thing.get("status") not in ("enabled", None)
    }
    assert not faults
    assert SECRET not in json.dumps(said)


@pytest.mark.parametrize(
    "routespec",
    [
        "/user/\ud800/",
        "\ud800/",
        "/user/%ED%A0%80/",
        "/user/x\udc80/",
        "\uff48ub.example\x00/",
        "a b/",
        "*/",
        "*.hub.example/",
    ],
)
def test_what_is_no_text_and_no_host_is_refused(routespec):
    with pytest.raises(RouteRejected):
        Route(routespec, "http://127.0.0.1:1", {})


@pytest.mark.parametrize("name", ["..\\x", "x\\..", "a\\..\\b", "\\.."])
def test_a_name_whose_requests_would_be_refused_is_refused(name):
    with pytest.raises(RouteRejected, match="at a backslash"):
        Route(f"/user/{quote(name, safe='')}/", "http://127.0.0.1:1", {})


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, ["\udfff"]])
def test_data_that_is_no_text_comes_back_or_is_refused(play, value):
    async def round_trip():
        try:
            await play.proxy.add_route("/user/data/", play.echoes["stranger"].url, {"v": value})
        except RouteRejected:
            return {"v": value}
        return (await play.proxy.get_route("/user/data/"))["data"]

    assert play.run(round_trip()) == {"v": value}


PREFIXES = ["a`b) || PathPrefix(`", "{{ env `SECRET` }}", "a,b", "../up", "*", "a b\"c'", "é秀", "a[b]?", "x" * 150]


@pytest.mark.parametrize("name", ["toml", "etcd", "consul", "redis"])
def test_a_prefix_is_a_name_or_refused(name, request, tmp_path, secret):
    """Whatever it holds: two hubs with such prefixes see their own routes only, or the hub says what is wrong."""
    store = find_store(name, request, tmp_path)

    async def try_all():
        served, refused = {}, {}
        proxies = []
        try:
            for number, prefix in enumerate(PREFIXES):
                config = store.config
                config.KVProxy.prefix = f"{store.prefix}{prefix}"
                try:
                    proxy = KVProxy(public_url="http://127.0.0.1:1/", config=config)
                    proxies.append(proxy)
                    await proxy.add_route(f"/user/{number}/", "http://127.0.0.1:1", {"n": number})
                    served[number] = proxy
                except (BackendRejected, TraitError) as error:
                    refused[prefix] = str(error)
            for number, proxy in served.items():
                assert [*await proxy.get_all_routes()] == [f"/user/{number}/"]
        finally:
            for proxy in proxies:
                await proxy.stop()
        return served, refused

    served, refused = asyncio.run(try_all())
    assert served
    assert all("prefix" in why for why in refused.values()), refused
    assert {path.name for path in tmp_path.iterdir()} <= {"table"}
