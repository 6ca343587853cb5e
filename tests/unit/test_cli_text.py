"""What is printed for people: colours, and lengths of time."""

from __future__ import annotations

import io

import pytest

from jhub_kvproxy.cli.text import ago, painted


class Terminal(io.StringIO):
    """Fake: a terminal."""

    def isatty(self):
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert painted("well", "green") == "well"
    monkeypatch.setattr("sys.stdout", Terminal())
    assert painted("well", "green") == "\x1b[32mwell\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted("well", "green") == "well"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (400_000, "5 d")],
)
def test_how_long_ago(seconds, said):
    assert ago(seconds) == said
