"""Difficult keys, values and user names for the tests."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import strategies as st

#: Each is special in a URL, a glob pattern, a shell, a template, JSON, TOML, a path, or a database.
_TEXTS = [
    *("+'&=,:;!$()*?#[]%@~ \"`\\{}<>|^.-_"),
    *("a b", " a ", "a+b", "a&b=c", "a?b#c", "a=b", "a,b", "a;b", "--", "-a"),
    *("%", "%2F", "%252F", "%s", "%00"),
    *("*", "a*", "?", "[a-z]", "[", "^a", "{a,b}", "\\*"),
    *("{{", "}}", "{{{{}}", "{{ env `HOME` }}", "{%", "${HOME}", "$HOME", "`id`", "$(id)"),
    *('"', '""', "'", "'; --", "\\", "\\n", "\\u0000", "\\\\"),
    *(".", "..", "...", ".hidden", "a.b", "~", "NUL", "null", "true", "0", "-1", "1e3"),
    *("UPPER", "upper", "lease", "traefik", "routes", "x" * 200),
    *("é", "e\u0301", "秀樹", "\U0001d54a", "\u202e", "\u2028", "\ufeff", "\x7f", "ß", "ẞ", "İ"),
]
_CONTROLS = ["\n", "a\nb", "a\r\nb", "\t", "\x00", "a\x00b", "\x1b[0m", "\x01"]
_PATHS = ["a/b", "a/b/c", "a/", "a//b", "../a", "a/..", "./a", "a/lease", "lease/a", "traefik/http"]
_NAMES = "ab/é\"'\\{}%*?[]$ .\n\x00"

#: A record with all types of JSON.
RECORD = {
    "routespec": "/user/%C3%A9/",
    "target": "http://127.0.0.1:8000",
    "data": {"": {"a/b": [None, {}, [], {"0": [True, 1, 1.5, "1"]}]}, "items": list(range(20)), "é": "\x00\U0001d54a"},
}


def difficult_keys() -> Iterator[str]:
    """Keys with difficult last segments; those below ``traefik/`` have the layout of Traefik's KV providers."""
    for text in [*_TEXTS, *_PATHS, *_CONTROLS]:
        yield f"routes/{text}"
    for text in _TEXTS:
        yield f"traefik/http/routers/r.{text}/rule"  # a bare number would be an index into a list


def difficult_values() -> Iterator[str]:
    """Difficult values, among them very short ones and a very long one."""
    yield from ["", " ", "\n", "0", "null", "[]", "{}", '""', *_TEXTS, *_PATHS, *_CONTROLS, "\r", "x" * 100_000]


def keys() -> st.SearchStrategy[str]:
    """Some keys that repeat often, and any others, in the layout of :func:`difficult_keys`."""
    names = st.sampled_from(["a", "b", "a/b", "a.b"]) | st.text(_NAMES, min_size=1, max_size=4) | _text(min_size=1)
    segments = names.filter(lambda name: "/" not in name)
    return st.one_of(
        names.map("routes/".__add__),
        segments.map("traefik/http/routers/r.{}/rule".format),
        segments.map("traefik/http/services/r.{}/loadBalancer/servers/0/url".format),
    )


def values() -> st.SearchStrategy[str]:
    """The values that drivers most often damage, and any others."""
    few = ["", " ", "\n", "\r\n", "\x00", "{{", '"', "\\", "%", "0", "null", "é", "e\u0301"]
    return st.one_of(st.sampled_from(few), _text(), st.sampled_from(list(difficult_values())[:-1]))


def _text(min_size: int = 0) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=min_size, max_size=8)


def difficult_user_names() -> list[str]:
    """User names that a careless proxy loses, confuses with others, or takes for code."""
    return [
        *("alice", "alice2", "Alice", "al.ice", "a-b_c~d", "user@example.com", "has@", "~TestJH"),
        *(f"a{char}b" for char in "+'&=,:;!$()*?#[]%@/\\ \"`<>{}|^"),
        *("tab\tnew\nline\rnul\x00", "%2F", "%252F", "..a", "...", "(?i).*", "\\Q.*\\E", "{{ env `HOME` }}"),
        *("x`) || PathPrefix(`/hub/login`) || Path(`/z", 'x") || PathPrefix("/hub/login") || Path("/z'),
        *("秀樹", "é", "e\u0301", "\U0001d54amile", "x" * 2000, "é'" * 500),
    ]
