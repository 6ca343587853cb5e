"""Names that would steer a terminal, or that it cannot show, are shown as escapes."""

from __future__ import annotations

import json

import pytest

from jhub_kvproxy.cli.text import aligned, as_json, wrapped

HOSTILE = {
    "a\x1b[2Jb": r"a\x1b[2Jb",
    "a\x9b31mb": r"a\x9b31mb",
    "a\u202eb": r"a\u202eb",
    "a\u2028b": r"a\u2028b",
    "a\ud800b": r"a\ud800b",
    "ä😀": "ä😀",
}


@pytest.mark.parametrize(("name", "shown"), HOSTILE.items())
def test_names_do_not_steer_the_terminal(name, shown):
    assert wrapped(f"of {name}.") == [f"of {shown}."]
    assert [*aligned([["OF", "TO"], [name, "x"]])] == [f"OF{' ' * (len(shown) - 2)}  TO", f"{shown}  x"]


def test_a_name_has_one_line():
    assert [*aligned([["a\nverdict  all is well"]])] == [r"a\nverdict  all is well"]
    assert wrapped("a\nb") == ["a b"]


@pytest.mark.parametrize("name", HOSTILE)
def test_json_for_terminals_is_ascii(name):
    text = as_json({name: name})
    assert text.isascii()
    assert all(character.isprintable() for line in text.splitlines() for character in line)
    assert json.loads(text) == {name: name}
