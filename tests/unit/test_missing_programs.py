"""What becomes of a test whose program is not installed."""

from __future__ import annotations

import pytest

from servers.errors import Missing
from servers.programs import find
from tests.fixtures import pytest_runtest_call, pytest_runtest_setup


@pytest.mark.parametrize("hook", [pytest_runtest_setup, pytest_runtest_call])
@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("1", Missing)])
def test_it_is_skipped_and_fails_where_all_programs_are_promised(hook, ci, outcome, monkeypatch):
    monkeypatch.setenv("CI", ci)
    running = hook()
    next(running)
    with pytest.raises(outcome, match="there is no wrk here"):
        running.throw(Missing("there is no wrk here"))


def test_a_missing_program_is_named_with_the_way_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=r"there is no wrk here \(on Debian: apt-get install wrk\)"):
        find("wrk")
