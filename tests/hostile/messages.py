"""Messages to the plugin in Traefik (``traefik/plugin/message.go``), and what is none or only a part of one."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

#: In a message, these stand for what is known when it is sent: the term of revisions, and the URLs of two servers.
TERM, ONE, TWO = "@term@", "@one@", "@two@"

_KEYS = ["", "/a", "/a/b", "/a/b/c%2Fd"]
_ODD_KEYS = ["/a/", "a b", "/a%62", "h.example/a", "/a/\ud800", "//", "/a\x00", "/a\n"]
#: Nobody listens there.
NOBODY = "http://127.0.0.1:1"
_ODD_TARGETS = [NOBODY, "ftp://a", "http://", "http://a b", "", "http://a?b", "/"]
_ODD_REVISIONS = [
    *("", "x", "-", ".", "1-a.1", "g-a.1", "1-a.-1", "-1-a.1", "0x1-a.1", "1ffffffffffffffff-a.1", "\ud800"),
    *(f"{TERM}-w.0", f"{TERM}-w.1e3", f"{TERM}-w.99999999999999999999", f"{TERM}-a.9", f"{TERM}-x.1"),
]
_NUMBERS = ["1" * 400, "-1e999999", "9223372036854775808", "1.0000000000000001", "-0", "1E400", "0.5", "NaN", "01"]
_WRONG = [
    *("null", "true", "[]", "{}", '""', '"\\ud800"', '"\\u0000"', '"x"', "[null]", "[[1]]", '{"":{}}', "\x00", "\xff"),
    *_NUMBERS,
]
_OPTIONS = {
    "s": ["0", "1", "-1", "99", *_NUMBERS],
    "o": ["false", "true", "0", '"true"'],
    "b": ["true", "null", "1"],
    "k": ['"hub"', '"user"', "7"],
    "later": _WRONG,
}


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Most are messages; a field may be of another type, stand there twice, or not at all."""

    def odd(usual: list[str], others: list[str]) -> str:
        return draw(st.sampled_from(others if draw(st.integers(0, 9)) == 9 else usual))

    def text(usual: list[str], others: list[str]) -> str:
        return json.dumps(odd(usual, others))

    def wrong() -> str:
        return draw(st.sampled_from([*_WRONG, "deep"])).replace("deep", draw(st.sampled_from(["[", '{"a":'])) * 12_000)

    def route() -> str:
        if draw(st.integers(0, 19)) == 19:
            return wrong()
        names = draw(st.lists(st.sampled_from(sorted(_OPTIONS)), max_size=2)) if draw(st.booleans()) else []
        more = [(name, draw(st.sampled_from(_OPTIONS[name]))) for name in names]
        return _packed([("t", text([ONE, TWO], _ODD_TARGETS)), *more])

    def value(name: str) -> str:
        if draw(st.integers(0, 19)) == 19:
            return wrong()
        if name == "put":
            return _packed([(odd(_KEYS, _ODD_KEYS), route()) for _ in range(draw(st.integers(0, 3)))])
        if name == "delete":
            return json.dumps([odd(_KEYS, _ODD_KEYS) for _ in range(draw(st.integers(0, 2)))])
        if name == "form":
            return text(["f"], ["g", ""])
        return text([f"{TERM}-w.5"] if name == "from" else [f"{TERM}-w.{n}" for n in (5, 7, 3)], _ODD_REVISIONS)

    names = ["from", "revision", "form", "put", "delete"]
    if draw(st.booleans()):
        more = draw(st.lists(st.sampled_from([*names, "later", "Put", ""]), max_size=1))
        names = draw(st.permutations(names))[draw(st.integers(0, 1)) :] + more
    whole = _packed([(name, value(name)) for name in names]).encode("utf-8", "surrogatepass")
    return _changed(whole, draw) if draw(st.integers(0, 3)) == 3 else whole


def _packed(pairs: list[tuple[str, str]]) -> str:
    return f"{{{','.join(f'{json.dumps(name)}:{value}' for name, value in pairs)}}}"


def _changed(raw: bytes, draw: st.DrawFn) -> bytes:
    """What becomes of a message on its way: it is cut off, a bit is another one, something stands around it."""
    at, bit = draw(st.integers(0, len(raw) - 1)), draw(st.integers(0, 7))
    return draw(
        st.sampled_from(
            [
                raw[:at],
                raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :],
                *(raw + end for end in (b" ", b"{}", b"x", b"\x00", b",", b"]", raw)),
                *(start + raw for start in (b"\xef\xbb\xbf", b"[", b" ")),
            ]
        )
    )


#: What went wrong once: the method, the message, and the status of the answer.
FOUND = {
    "half a character": ("PUT", f'{{"revision":"{TERM}-w.5","form":"\\ud800","put":{{}}}}', 200),
    "a route to delete that has no name": (
        "PATCH",
        f'{{"from":"{TERM}-w.5","revision":"{TERM}-w.7","form":"f","delete":[null]}}',
        400,
    ),
    "another case in a name": ("PUT", f'{{"revision":"{TERM}-w.5","form":"f","put":{{"/a":{{"T":"{ONE}"}}}}}}', 200),
}


class _Twice(dict[str, Any]):
    """An object of JSON in which a name stands more than once."""


def read(body: bytes) -> dict[str, Any]:
    """The message that the plugin may take `body` for, with all its fields; ValueError when it may not take it."""
    message = _in_go(json.loads(body.decode("utf-8", "replace"), object_pairs_hook=_object))
    if not isinstance(message, dict) or isinstance(message, _Twice):
        raise ValueError("no object, or a field stands there twice")
    # Go takes null for nothing.
    known = {name: value for name, value in message.items() if value is not None or name == "put"}
    taken = {"from": "", "revision": "", "form": "", "put": {}, "delete": [], **known}
    if any(not isinstance(taken[name], str) for name in ("from", "revision", "form")) or not taken["revision"]:
        raise ValueError("a text is none, or there is no revision")
    if not isinstance(taken["put"], dict) or isinstance(taken["put"], _Twice) or not isinstance(taken["delete"], list):
        raise ValueError("the routes are none, or one stands there twice")
    if not all(isinstance(key, str) for key in taken["delete"]):
        raise ValueError("a route to delete has no name")
    # Go knows the names of a route's fields in any case.
    taken["put"] = {key: {name.lower(): value for name, value in route.items()} for key, route in taken["put"].items()}
    return taken


def _in_go(value: Any) -> Any:
    """`value` with half a character replaced, as Go reads it."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [_in_go(each) for each in value]
    if isinstance(value, dict):
        return type(value)((_in_go(name), _in_go(each)) for name, each in value.items())
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return (dict if len(dict(pairs)) == len(pairs) else _Twice)(pairs)
