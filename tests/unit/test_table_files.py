"""A table as a file: what goes in comes out, and what is no such file is refused by its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from jhub_kvproxy.routing.routes import Route
from jhub_kvproxy.survey.replacement import Replacement
from jhub_kvproxy.survey.table_file import TableFileError, from_file, to_file
from tests.strategies import data

TARGET = "http://127.0.0.1:1"
ROUTES = [Route("/user/a/", TARGET, {"user": "a"}), Route("/", TARGET, {}), Route("b.example/x/", TARGET, {"ü": [1]})]
FILE = to_file(ROUTES, "a-w.1")
LINES = FILE.splitlines(keepends=True)
RECORD = Route("/user/%61/", TARGET, {}).to_record().encode() + b"\n"


def head(**changes):
    return json.dumps(json.loads(LINES[0]) | changes).encode() + b"\n"


def test_what_goes_in_comes_out_sorted():
    assert json.loads(LINES[0]) == {"format": "jhub-kvproxy table", "version": 1, "routes": 3, "revision": "a-w.1"}
    assert [json.loads(line)["routespec"] for line in LINES[1:]] == ["/", "/user/a/", "b.example/x/"]
    assert sorted(from_file(FILE, "f"), key=lambda route: route.name) == sorted(ROUTES, key=lambda route: route.name)
    assert from_file(to_file([], ""), "f") == []


@given(data)
def test_any_data(value):
    [route] = from_file(to_file([Route("/user/has%40%C3%A9/", TARGET, value)], ""), "f")
    assert route.routespec == "/user/has%40%C3%A9/"
    assert repr(route.data) == repr(value)


@pytest.mark.parametrize("size", range(len(FILE)))
def test_a_file_that_was_cut_off_anywhere(size):
    with pytest.raises(TableFileError, match=r"^f, line \d: .*cut off"):
        from_file(FILE[:size], "f")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{}\n", "line 1: this is no table"),
        (b"[]\n", "line 1: this is no table"),
        (b"\xff\n", "line 1: this is no table"),
        (b"[" * 100_000 + b"\n", "line 1: this is no table"),
        (head(version=2), "line 1: the table has version 2, and this jhub-kvproxy reads 1; upgrade it."),
        (head(version="1"), "line 1: the version, or the number of routes, is none."),
        (head(version=0), "line 1: the version, or the number of routes, is none."),
        (head(routes=-1), "line 1: the version, or the number of routes, is none."),
        (
            b"".join([head(routes=4), *LINES[1:], RECORD]),
            "line 5: '/user/%61/' is the same route as '/user/a/' on line 3.",
        ),
        (b"".join([*LINES, Route("/y/", TARGET, {}).to_record().encode(), b"\n"]), "line 5: the file has 4 routes"),
        (b"".join([LINES[0], b"{}\n", *LINES[2:]]), "line 2: not a route record"),
        (b"".join([LINES[0], b"\xff\n", *LINES[2:]]), "line 2: it is not UTF-8."),
        (b"".join([*LINES[:2], b"\n", *LINES[3:]]), "line 3: not a route record"),
        (b"".join([LINES[0], LINES[1].replace(b"http:", b"ftp:"), *LINES[2:]]), "line 2: Cannot route '/' to"),
    ],
)
def test_what_is_no_such_file(content, sentence):
    with pytest.raises(TableFileError) as caught:
        from_file(content, "f")
    assert str(caught.value).startswith(f"f, {sentence}")


def test_what_changes_when_a_table_takes_the_place_of_another():
    old = [Route("/same/", TARGET, {}), Route("/gone/", TARGET, {}), Route("/data/", TARGET, {"n": 1})]
    new = [Route("/same/", TARGET, {}), Route("/new/", TARGET, {}), Route("/data/", TARGET, {"n": True})]
    found = Replacement.of(old, new)
    assert found.to_json() == {"added": ["/new/"], "changed": ["/data/"], "removed": ["/gone/"]}
    assert found.undo == {"p.new": None, "p.data": old[2], "p.gone": old[1]}
    assert Replacement.of(old, old).changes == {}
