"""Difficult input, by default."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import strategies as st

#: Characters that mean something to a URL, a browser, Traefik's rules, Go's regexp and templates, TOML or JSON.
DIFFICULT = "+'&=,:;!$()*?#[]%@~ \"`\\\n\r\t\x00\x7f{}<>|^/._-éß秀𝕊\u0301\u202e"

#: User names that each broke a proxy somewhere, or might.
NAMES = [
    "alice",
    "alice2",
    "Alice",
    "al.ice",
    "a-b_c~d",
    "user@example.com",
    "has@",
    "~TestJH",
    *(f"a{char}b" for char in "+'&=,:;!$()*?#[]%@/\\ \"`<>{}|^"),
    "+'&=,:;!$()*?#[]%@~",
    "tab\tnew\nline\rnul\x00",
    "x`) || PathPrefix(`/hub/login`) || Path(`/z",
    'x") || PathPrefix("/hub/login") || Path("/z',
    "{{ env `HOME` }}",
    "(?i).*",
    "\\Q.*\\E",
    "%2F",
    "%252F",
    "秀樹",
    "e\u0301",
    "é",
    "\U0001d54amile",
    "..a",
    "...",
    "x" * 4096,
    "é'" * 1000,
]

segments = st.one_of(
    st.sampled_from(["a", "b", "ab", "user", "a+b", "a b", "@", "a%2Fb"]),
    st.text(st.sampled_from("ab" + DIFFICULT), min_size=1, max_size=6),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), min_size=1, max_size=6),
).filter(lambda text: text != "." and ".." not in text.split("\\"))

paths = st.lists(segments, max_size=4).map(tuple)

hosts = st.sampled_from([None, "example.com", "a.example.com", "b.example.com", "-a-.example.com", "::1", "10.0.0.1"])


def jupyterhub_escape(text: str) -> str:
    """As JupyterHub spells a name in a routespec (``jupyterhub.utils.url_escape_path``)."""
    return quote(text, safe="@~")


def routespec(host: str | None, path: tuple[str, ...]) -> str:
    shown = "" if host is None else f"[{host}]" if ":" in host else host
    return shown + "/" + "".join(jupyterhub_escape(segment) + "/" for segment in path)


routespecs = st.builds(routespec, hosts, paths)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=12) | st.dictionaries(st.text(), children, max_size=5),
    max_leaves=20,
)
data = st.dictionaries(st.text() | st.sampled_from(["user", "0", "10", "a/b", "a.b"]), json_values, max_size=5)

#: A literal form of each character that a browser or a library may leave unescaped in a path.
_OFTEN_LITERAL = "!$&'()*+,;=:@[]~"


@st.composite
def encodings(draw: st.DrawFn, text: str) -> str:
    """Some percent-encoding of `text` that may come in as a path segment."""
    out = []
    for char in text:
        forms = [quote(char, safe=""), quote(char, safe="").lower()]
        if char in _OFTEN_LITERAL or (char.isascii() and (char.isalnum() or char in "-._")):
            forms = [char, *forms] if char in _OFTEN_LITERAL else [char, f"%{ord(char):02X}"]
        if char not in _OFTEN_LITERAL and not char.isascii():
            forms = [quote(char, safe="")]
        out.append(draw(st.sampled_from(forms)))
    return "".join(out)
