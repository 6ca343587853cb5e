"""Request targets that proxies, servers and browsers have read in different ways, and values of JSON."""

from __future__ import annotations

from hypothesis import strategies as st

_ATOMS = [
    *("/", "//", "\\", "%2F", "%2f", "%5C", "%5c", ";", "%3B", ":", "@", "%40", "?", "%3F", "#", "%23"),
    *(".", "..", "%2e", "%2E", "%2e%2e", ".%2e", "%2E.", "..;", "...", "%252e%252e", "%c0%ae", "%u002e"),
    *("%252F", "%25252f", "%255c", "%c0%af", "%ef%bc%8f", "%e2%88%95", "\xef\xbc\x8f"),
    *("%00", "%0a", "%0d%0a", "%09", "%20", "%7f", "%ff", "%C3%AB", "\xc3\xab", "\xeb", "%", "%z", "%2"),
    *(
        "user",
        "User",
        "%75ser",
        "alice",
        "%61lice",
        "ALICE",
        "alice%00",
        "bob",
        "named",
        "hub",
        "login",
        "services",
        "s",
    ),
    *("zo%C3%AB@x", "zo%c3%ab%40x", "a%2Fb", "a%2fb", "a", "b", "&", "=", "+", "~", "'", '"', "`", "{{", "|", "^", "*"),
]
_PREFIXES = [
    *("/user/alice/", "/user/bob/", "/user/bob/named/", "/user/zo%C3%AB@x/", "/user/zo%c3%ab%40x/", "/user/a%2fb/"),
    *("/user/", "/services/s/", "/hub/", "/", "//x/user/alice/"),
]

#: Made of what has a meaning somewhere; most of them pass a known route, so that they are near to another one.
targets = st.one_of(
    st.builds(lambda start, rest: start + "".join(rest), st.sampled_from(_PREFIXES), st.lists(st.sampled_from(_ATOMS))),
    st.builds(
        lambda start, up, end: start + "".join(up) + end,
        st.sampled_from(_PREFIXES),
        st.lists(st.sampled_from(["../", "..\\", "%2e%2e/", "..%2f", "..%5c", "./", "x/", "/", "..;/", ".%2E/"])),
        st.sampled_from(["user/bob/x", "bob/x", "bob", "bob/named", "alice", "hub/login", ""]),
    ),
    st.builds(
        lambda scheme, host, path: scheme + host + path,
        st.sampled_from(["http://", "HTTP://", "//", "http:/"]),
        st.sampled_from(["hub.example", "other", "a@b", "[::1]", "x:80", "127.0.0.1", ""]),
        st.sampled_from(["/user/alice/", "/user/alice/../bob", "\\user\\bob", "", "?x", "/hub/"]),
    ),
    st.lists(st.sampled_from(_ATOMS), min_size=1, max_size=8).map(lambda atoms: "/" + "".join(atoms)),
)

#: What JSON has, and what Python's writes though it has it not.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", ""]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text() | st.just("\ud800"), below, max_size=3),
    max_leaves=8,
)
