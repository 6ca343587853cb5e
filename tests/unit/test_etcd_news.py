"""What the driver reads from the stream of an etcd watch."""

from __future__ import annotations

import base64
import json

import pytest

from jhub_kvproxy_backends._etcd_news import joined, news_in, told


def message(*events, **fields):
    return json.dumps({"result": {"header": {"revision": "9"}, "events": events, **fields}}).encode()


def put(key, value, revision):
    kv = {"key": base64.b64encode(key).decode(), "mod_revision": str(revision)}
    return {"kv": kv | ({"value": base64.b64encode(value).decode()} if value else {})}


def gone(key, revision):
    return {"type": "DELETE"} | put(key, b"", revision)


def test_events_are_changes():
    news = news_in(message(put(b"a", b"1", 7), put(b"b", b"", 8), gone(b"c", 8)))
    assert news.changed == {b"a": b"1", b"b": b"", b"c": None}
    assert (news.revision, news.now, news.has_more, news.end) == (8, 9, False, "")


def test_the_last_of_several_commits_counts():
    assert news_in(message(put(b"a", b"1", 7), gone(b"a", 8), put(b"a", b"2", 9))).changed == {b"a": b"2"}


def test_fragments_are_joined():
    first = news_in(message(put(b"a", b"1", 7), put(b"b", b"1", 7), fragment=True))
    assert first.has_more
    both = joined(first, news_in(message(gone(b"b", 8), put(b"c", b"1", 8))))
    assert both.changed == {b"a": b"1", b"b": None, b"c": b"1"}
    assert (both.revision, both.has_more) == (8, False)


def test_the_end_between_two_fragments_is_one():
    first = news_in(message(put(b"a", b"1", 7), fragment=True))
    end = joined(first, news_in(message(canceled=True, cancel_reason="no permission", compact_revision="5")))
    assert (end.end, end.is_compacted) == ("no permission", True)


def test_the_end_says_why():
    assert news_in(message(canceled=True, cancel_reason="no permission")).end == "no permission"
    assert news_in(message(canceled=True)).end
    assert not news_in(message(canceled=True)).is_compacted
    assert news_in(message(canceled=True, compact_revision="5")).is_compacted
    assert news_in(b'{"error": {"message": "oh"}}').end == "oh"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"null",
        b"[]",
        b"1",
        b"{}",
        b'{"result": null}',
        b'{"result": {}}',
        b'{"result": {"header": {"revision": "x"}}}',
        b'{"error": 7}',
        message({}),
        message({"kv": {"key": "YQ=", "mod_revision": "1"}}),
        message({"kv": {"key": "YQ==", "mod_revision": None}}),
        message({"kv": {"key": 7, "mod_revision": "1"}}),
    ],
    ids=lambda line: repr(line[:40]),
)
def test_damage_is_a_value_error(line):
    with pytest.raises(ValueError):  # noqa: PT011
        news_in(line)


def test_what_is_told_is_text():
    changed = {b"hub/a": "ü".encode(), b"hub/lease": b"\xff", b"hub/b": None}
    assert told(changed, b"hub/", without=[b"hub/lease"]) == {"a": "ü", "b": None}
    with pytest.raises(UnicodeDecodeError):
        told({b"hub/a": b"\xff"}, b"hub/", without=[])
    with pytest.raises(UnicodeDecodeError):
        told({b"hub/\xff": b"a"}, b"hub/", without=[])
