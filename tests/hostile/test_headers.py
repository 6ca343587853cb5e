"""Headers by which a stranger pretends to be somebody, or somewhere, else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhub_kvproxy import TraefikError
from tests.hostile.explore import explore
from tests.hostile.scene import scene
from tests.stores import Store
from tests.wire import request

#: What Traefik tells users' servers of where a request comes from: what each is without one in front.
OURS = {
    "X-Forwarded-For": ["127.0.0.1"],
    "X-Real-Ip": ["127.0.0.1"],
    "X-Forwarded-Proto": ["http"],
    "X-Forwarded-Host": ["hub.example"],
    "X-Forwarded-Port": ["80"],
    "X-Forwarded-Prefix": [],
    "X-Forwarded-Uri": [],
    "X-Forwarded-Method": [],
    "X-Forwarded-Tls-Client-Cert": [],
    "X-Forwarded-Tls-Client-Cert-Info": [],
}
SPOOFED = "6.6.6.6"


def sent(scene, *headers):
    [reply] = scene.ask(request("/user/alice/", *headers))
    assert reply.server == "alice", reply
    return reply


@pytest.fixture(scope="module")
def behind(tmp_path_factory, delivery):
    """The same, behind a proxy that is trusted: the client is it."""
    directory = tmp_path_factory.mktemp("behind")
    store = Store("toml", {"path": str(directory / "table")})
    traits = {"delivery": delivery, "trusted_proxies": ["127.0.0.0/8"]}
    with scene(directory, store, {"/user/alice/": "alice"}, **traits) as play:
        yield play


SPELLINGS = [
    lambda name: name,
    str.lower,
    str.upper,
    lambda name: name.replace("-", "_"),
    lambda name: name.replace("-", "_", 1),
    lambda name: name.lower().replace("-", "_"),
    lambda name: name.replace("-", "."),
    lambda name: name.replace("-", "~", 1),
]


def read_by_wsgi(reply):
    """The headers as servers read them that take many characters for one (PEP 3333, CGI): HTTP_X_FORWARDED_FOR."""
    read = {}
    for line in reply.said["head"].split("\r\n")[1:]:
        name, _, value = line.partition(":")
        variable = "".join(char if char.isalnum() else "_" for char in name.upper())
        read.setdefault(variable, []).append(value.strip())
    return read


@pytest.mark.fuzz
def test_nobody_says_where_a_request_comes_from_but_traefik(on_paths):
    """Whatever is sent, in every spelling, however often, and with ``Connection`` telling to leave ours out."""
    connection = st.lists(st.sampled_from([*OURS, "X_Forwarded_For", "close", "keep-alive", "Host"]), max_size=4)
    spoofed = st.lists(
        st.builds(
            lambda name, spell, value: f"{spell(name)}: {value}",
            st.sampled_from(sorted(OURS)),
            st.sampled_from(SPELLINGS),
            st.sampled_from([SPOOFED, "", "https", "evil.example", "1", "/evil", f"{SPOOFED}, 127.0.0.1", "\xff"]),
        ),
        max_size=6,
    )

    @given(spoofed, connection, st.booleans())
    def for_all(spoofs, named, is_named_first):
        tokens = [f"Connection: {', '.join(named)}"] if named else []
        lines = [*tokens, *spoofs] if is_named_first else [*spoofs, *tokens]
        reply = sent(on_paths, *lines)
        read = read_by_wsgi(reply)
        for name, value in OURS.items():
            assert reply.sent(name) == value, (name, lines)
            assert read.get(name.upper().replace("-", "_"), []) == value, (name, lines)

    explore(for_all, 800)


@pytest.mark.parametrize("name", [*OURS, "X-Forwarded-Server", "Host"])
@pytest.mark.parametrize("spell", [str, str.lower, str.upper], ids=["as we", "lower case", "upper case"])
def test_connection_takes_nothing_away_that_traefik_tells(on_paths, name, spell):
    """A client names it there, so that Traefik takes it for a matter of the connection."""
    plain = sent(on_paths)
    for lines in (
        [f"Connection: {spell(name)}"],
        [f"Connection: keep-alive, {spell(name)}", f"{name}: {SPOOFED}"] if name != "Host" else [],
        [f"Connection: ,, {spell(name)} ,", "Connection: keep-alive"],
        ["Connection:", f"Connection: {spell(name)}"],
    ):
        reply = sent(on_paths, *lines)
        assert reply.sent(name) == plain.sent(name), lines
        assert reply.sent("Connection") == []


def test_what_is_meant_for_the_connection_stays_there(on_paths):
    """A server may not be told to keep, to authenticate or to end a connection that is not its client's."""
    hop = [
        "Keep-Alive: 5",
        "Proxy-Connection: x",
        "Proxy-Authorization: Basic eA==",
        "TE: trailers, gzip",
        "X-Named: a",
    ]
    reply = sent(on_paths, "Connection: X-Named, keep-alive, close", *hop, "Trailer: X-T", "X-Other: b")
    names = {line.partition(":")[0] for line in reply.said["head"].split("\r\n")[1:] if line}
    told = {name for name, value in OURS.items() if value}
    # Whether gzip is asked for is another matter, and so is whether the server may send trailers.
    assert names - told - {"Accept-Encoding", "X-Forwarded-Server"} == {"Host", "X-Other", "Te"}
    assert reply.sent("Te") == ["trailers"]


def test_a_trusted_proxy_in_front_is_believed(behind):
    said = {
        "X-Forwarded-For": SPOOFED,
        "X-Real-Ip": SPOOFED,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "outside.example",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Prefix": "/p",
    }
    reply = sent(behind, *(f"{name}: {value}" for name, value in said.items()))
    for name, value in {**said, "X-Forwarded-For": f"{SPOOFED}, 127.0.0.1"}.items():
        assert reply.sent(name) == [value]


def test_a_trusted_proxy_may_not_have_its_headers_left_out(behind):
    """A client of it may send ``Connection``, which some pass on."""
    lines = (f"Connection: {', '.join(OURS)}", f"X-Forwarded-For: {SPOOFED}", f"X-Real-IP: {SPOOFED}")
    reply = sent(behind, *lines)
    assert (reply.sent("X-Forwarded-For"), reply.sent("X-Real-IP")) == ([f"{SPOOFED}, 127.0.0.1"], [SPOOFED])


def test_what_we_leave_as_configurable_http_proxy_does(on_paths):
    """JupyterHub takes them for what the browser sees, spoofed or not (``jupyterhub.utils.get_browser_protocol``)."""
    reply = sent(
        on_paths, "Forwarded: for=6.6.6.6;proto=https", "Cookie: a=b", "Authorization: token t", "X-A: b", "X-A: c"
    )
    assert reply.sent("Forwarded") == ["for=6.6.6.6;proto=https"]
    assert (reply.sent("Cookie"), reply.sent("Authorization"), reply.sent("X-A")) == (["a=b"], ["token t"], ["b", "c"])


def test_a_compressed_answer_is_asked_for_by_the_client_only(on_paths, delivery):
    """Traefik's own proxy asks for gzip when the client is silent, and unpacks it; configurable-http-proxy does not."""
    assert sent(on_paths).sent("Accept-Encoding") == ([] if delivery == "push" else ["gzip"])
    assert sent(on_paths, "Accept-Encoding: br").sent("Accept-Encoding") == ["br"]
    assert sent(on_paths, "Accept-Encoding: identity").sent("Accept-Encoding") == ["identity"]


def test_a_query_arrives_as_it_was_meant(on_paths):
    """A semicolon in it is text, and does not become a separator."""
    [reply] = on_paths.ask(request("/user/alice/?next=a;admin=1&b=%3B"))
    assert reply.target == "/user/alice/?next=a%3Badmin=1&b=%3B"


@pytest.mark.parametrize(
    "query",
    [
        *("a=%zz&b=1", "a=%", "%&%", "%26=x", "a=b&&c", "&", "=", "", "?a=b", "a=%00", "a=%0d%0aX-Injected:%201"),
        *("a=1&a=2", "a[]=1&a[0]=2", "a=%C3%AB", "a=\xc3\xab", "a=%2561", "a=b%23c", "'\"<>`{}|^\\"),
        "&".join(f"p{number}=1" for number in range(20_000)),
    ],
    ids=lambda query: repr(query[:20]),
)
def test_a_query_is_handed_on_as_it_came(on_paths, query):
    """Traefik neither reads nor mends it: what it cannot read, or more parameters than it would, is the server's."""
    [reply] = on_paths.ask(request(f"/user/alice/?{query}"))
    assert (reply.server, reply.target) == ("alice", f"/user/alice/?{query}")


@pytest.mark.parametrize(
    "address", ["example.org", "10.0.0.1/8", "10.0.0", "*", "", "fe80::1/129", "10.0.0.1, 10.0.0.2"]
)
def test_who_is_trusted_is_an_address(site_of, address):
    with pytest.raises(TraefikError, match=r"^KVProxy\.trusted_proxies has .*which is not an IP address or network"):
        site_of(trusted_proxies=[address])


@pytest.fixture
def site_of(tmp_path):
    def start(**traits):
        with scene(tmp_path, Store("toml", {"path": str(tmp_path / "table")}), {}, **traits):
            pass

    return start
