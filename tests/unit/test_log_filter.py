"""What is left of Traefik's output."""

from __future__ import annotations

import pytest

from jhub_kvproxy.traefik import log_filter
from jhub_kvproxy.traefik.log_filter import Filter

COMMON = b'2026-11-26T02:11:10Z ERR error="accept tcp [::]:8000: accept4: too many open files" entryPointName=public\n'
JSON = b'{"level":"error","entryPointName":"public","error":"accept tcp [::]:8000: accept4: too many open files"}\n'
OTHER = b"2026-11-26T02:11:10Z ERR Router defined multiple times with different configurations\n"
ACCESS = b'10.0.0.1 - - [26/Nov/2026:02:11:10 +0000] "GET /x HTTP/1.1" 200 5 "-" "too many open files ERR " 1 "-" 2ms\n'


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("line", [COMMON, JSON])
def test_of_lines_that_repeat_one_comes_through_every_ten_seconds(clock, line):
    kept = Filter(clock)
    assert kept.feed(line * 1000) == line
    clock.now += 9.9
    assert kept.feed(line * 1000) == b""
    assert kept.is_flooded
    clock.now += 0.2
    assert kept.feed(line) == b"(1999 lines of Traefik about too many open files are left out)\n" + line
    assert not kept.is_flooded


def test_everything_else_comes_through_in_its_order(clock):
    kept = Filter(clock)
    assert kept.feed(OTHER + COMMON + COMMON + ACCESS + COMMON + OTHER) == OTHER + COMMON + ACCESS + OTHER


def test_nobody_can_hide_a_line_of_the_access_log(clock):
    kept = Filter(clock)
    assert kept.feed(COMMON + ACCESS * 3) == COMMON + ACCESS * 3
    assert not kept.is_flooded


def test_how_many_were_left_out_is_said_when_it_is_over(clock):
    kept = Filter(clock)
    kept.feed(COMMON * 5)
    assert kept.feed(OTHER) == OTHER
    clock.now += 10
    assert kept.feed(OTHER) == b"(4 lines of Traefik about too many open files are left out)\n" + OTHER
    kept.feed(COMMON * 3)
    assert kept.end() == b"(2 lines of Traefik about too many open files are left out)\n"


@pytest.mark.parametrize("size", [1, 7, 100])
def test_lines_may_come_in_pieces(clock, size):
    kept = Filter(clock)
    text = OTHER + COMMON * 3 + ACCESS + b"no newline"
    received = b"".join(kept.feed(text[start : start + size]) for start in range(0, len(text), size))
    note = b"(2 lines of Traefik about too many open files are left out)\n"
    assert received + kept.end() == OTHER + COMMON + ACCESS + note + b"no newline"


def test_a_line_that_does_not_end_is_not_kept_for_ever(clock, monkeypatch):
    monkeypatch.setattr(log_filter, "_LONGEST_LINE", 100)
    kept = Filter(clock)
    assert kept.feed(b"x" * 100) == b""
    assert kept.feed(b"x") == b"x" * 101
