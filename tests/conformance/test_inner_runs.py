"""A test that hangs in a pytest of its own does not take the others with it, and is named."""

from __future__ import annotations

from tests.conformance.inner_runs import what_went_wrong

TESTS = """
import os, time

def test_passes(): pass
def test_fails(): assert 1 == 2, "two"
def test_hangs(): time.sleep(60)
def test_dies(): os._exit(3)
def test_is_last(): assert 3 == 4, "four"
"""


def test_each_test_has_its_outcome(tmp_path):
    (tmp_path / "test_some.py").write_text(TESTS)
    tests = {name: f"test_some.py::test_{name}" for name in ("passes", "fails", "hangs", "dies", "is_last")}
    outcomes = what_went_wrong(tests.values(), tmp_path, 2, tmp_path)
    assert outcomes[tests["passes"]] == ""
    assert "two" in outcomes[tests["fails"]]
    assert "did not end in 2 s" in outcomes[tests["hangs"]]
    assert "time.sleep(60)" in outcomes[tests["hangs"]]
    assert "ended its process" in outcomes[tests["dies"]]
    assert "four" in outcomes[tests["is_last"]]
