"""The logs of the last changes, which the drivers for Consul and Redis keep for watches."""

from __future__ import annotations

import pytest

from jhub_kvproxy_backends import _redis_recent as redis
from jhub_kvproxy_backends._consul_recent import MOST_BYTES, Entry, Log, log_in


def log_of(*changes):
    log = Log()
    for number, each in enumerate(changes):
        log, text = log.added(Entry(f"token{number}", each))
        assert log_in(text.encode()) == log
    return log


def test_consul_tells_what_came_after():
    log = log_of({"a": "1"}, {"b": "ü", "a": None}, {"b": "2"})
    assert log.since("") == {"a": None, "b": "2"}
    assert log.since("token0") == {"a": None, "b": "2"}
    assert log.since("token1") == {"b": "2"}
    assert log.since(log.last) == {}
    assert log.since("another") is None


@pytest.mark.parametrize("letter", ["x", "ü", '"', "\n"])
def test_consuls_log_is_bounded(letter):
    log = log_of(*({f"key{number}": letter * 500} for number in range(50)))
    _, text = log.added(Entry("last", {"a": letter * 500}))
    assert len(text.encode()) <= MOST_BYTES
    assert 0 < len(log.entries) < 50
    assert log.gone + len(log.entries) == 50
    assert log.since("") is log.since("token0") is None
    assert log.since("token48") == {"key49": letter * 500}


def test_what_is_too_large_for_consuls_log_is_not_told():
    log = log_of({"a": "1"}, {"a": "x" * MOST_BYTES}, {"b": "1"})
    assert log.since("token0") is None
    assert log.since("token1") == {"b": "1"}


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"\xff", b"[", b"[" * 100_000, b"7", b"null", b"{}"),
        *(b'{"gone": 0, "entries": 7}', b'{"entries": []}'),
        *(b'{"gone": 0, "entries": [["a"]]}', b'{"gone": 0, "entries": [["a", "b"]]}'),
    ],
    ids=lambda text: repr(text[:40]),
)
def test_a_damaged_log_of_consul_tells_nothing(text):
    log = log_in(text)
    assert log.since("") is None
    assert log.since("token") is None
    log, _ = log.added(Entry("next", {"a": "1"}))
    assert log.since("") is None
    log, _ = log.added(Entry("after", {"b": "1"}))
    assert log.since("next") == {"b": "1"}


def reply(*entries):
    return [(f"{number}-0".encode(), {b"changes": text}) for number, text in entries]


def test_redis_tells_what_came_after():
    entries = reply((1, b'{"a": "1"}'), (2, b'{"a": null, "b": "2"}'))
    assert redis.news(entries, b"") == ({"a": None, "b": "2"}, b"2-0")
    assert redis.news(entries, b"1-0") == ({"a": None, "b": "2"}, b"2-0")
    assert redis.news(entries[1:], b"2-0") == ({}, b"2-0")
    assert redis.news([], b"") == ({}, b"")


def test_a_gap_in_redis_tells_nothing():
    assert redis.news(reply((3, b"{}")), b"2-0") == (None, b"3-0")
    assert redis.news([], b"2-0") == (None, b"")
    assert redis.news(reply(*((number, b"{}") for number in range(1, 33))), b"") == (None, b"32-0")


def test_what_is_too_large_for_redis_is_not_told():
    *_, text = redis.entry("log", {"a": "x" * 20_000})
    assert redis.news(reply((1, text.encode())), b"") == (None, b"1-0")
    *_, text = redis.entry("log", {"a": "ü", "b": None})
    assert redis.news(reply((1, text.encode())), b"") == ({"a": "ü", "b": None}, b"1-0")
