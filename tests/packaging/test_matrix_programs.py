"""How ``make matrix`` gets programs: what it gets takes minutes, so these tests are about all but that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from matrix import children, programs
from matrix.cells import Built, Debian, Here, NotToBeHad
from matrix.programs import find_python, provide
from matrix.store import home
from servers.errors import Unavailable
from servers.process import is_alive
from servers.programs import ROOT, find

ETCD = Built("etcd", "3.6.16")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def left() -> list[str]:
    """The directories that a run leaves."""
    return [path.name for path in home().iterdir() if path.is_dir()]


def test_what_is_here_is_not_made_again(monkeypatch):
    for name in ("etcd-3.6.16", "redis-8"):
        (home() / name / "bin").mkdir(parents=True)
    monkeypatch.setattr(programs, "run", None)
    assert provide("etcd-3.6", ETCD) == str(home() / "etcd-3.6.16" / "bin")
    assert provide("redis-8", Debian("sid", "redis-server", {})) == str(home() / "redis-8" / "bin")


def test_a_version_that_is_new_in_the_list_of_cells_is_built(monkeypatch):
    find("go")
    monkeypatch.setenv("GOPROXY", "off")
    (home() / "etcd-3.6.15" / "bin").mkdir(parents=True)
    with pytest.raises(Unavailable, match="GOPROXY=off"):
        provide("etcd-3.6", ETCD)


def test_what_the_tests_find_anyway_needs_no_directory():
    assert provide("kubernetes-1.37", Here()) == provide("user-root", None) == ""


def test_what_is_not_to_be_had_says_why():
    with pytest.raises(Unavailable, match="its licence"):
        provide("a", NotToBeHad("its licence"))


@pytest.mark.parametrize("what", ["etcd", "consul"])
def test_a_build_that_fails_leaves_nothing_and_says_why(what, monkeypatch):
    find("go")
    monkeypatch.setenv("GOPROXY", "off")
    killed = home() / ".a.building" / "go"
    killed.mkdir(parents=True)
    (killed / "left").touch()
    killed.chmod(0o500)  # as Go makes its directories
    with pytest.raises(Unavailable, match="GOPROXY=off"):
        provide("a", Built(what, "3.6.16"))
    assert left() == []


def test_without_debians_archive_it_says_so(monkeypatch, tmp_path):
    (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Unavailable, match="no archive of Debian sid"):
        provide("a", Debian("sid", "valkey-server", {"redis-server": "usr/bin/valkey-server"}))
    assert left() == []


def test_an_unknown_word_is_refused(tmp_path):
    said = subprocess.run(["tools/programs", "etdc", tmp_path, "1"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 1
    assert "not etdc" in said.stderr


def test_a_python_on_path_is_taken_if_it_runs(tmp_path, monkeypatch):
    for name, word in (("broken", "exit 127"), ("working", f'exec {sys.executable} "$@"')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "python3.12").write_text(f"#!/bin/sh\n{word}\n")
        (tmp_path / name / "python3.12").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'broken'}:{tmp_path / 'working'}:/usr/bin:/bin")
    assert find_python("3.12") == str(tmp_path / "working" / "python3.12")
    monkeypatch.setenv("PATH", f"{tmp_path / 'broken'}")
    with pytest.raises(Unavailable, match=r"no python3\.12 on PATH, and no release of Debian"):
        find_python("3.12")


def test_the_reason_is_the_last_line(tmp_path):
    log = tmp_path / "log"
    assert children.run([sys.executable, "-c", "print('first'); print('last'); exit(3)"], log) == 3
    assert children.reason(log) == "last"


def test_an_interrupted_command_has_ended_with_all_that_it_started(tmp_path):
    """Ctrl-C comes while it runs: here the command itself sends it."""
    own = f"""
import os, signal, subprocess, time
from pathlib import Path
Path({str(tmp_path / "pid")!r}).write_text(str(subprocess.Popen(["sleep", "600"]).pid))
os.kill(os.getppid(), signal.SIGINT)
time.sleep(600)
"""
    outer = f"""
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what runs in the background ignore it
from matrix.children import run
run([sys.executable, "-c", {own!r}], Path({str(tmp_path / "log")!r}))
"""
    said = subprocess.run([sys.executable, "-c", outer], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "KeyboardInterrupt" in said.stderr
    started = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_alive(started), "what the command started goes on")


def test_a_run_in_the_background_can_be_ended(tmp_path):
    """A shell has it ignore Ctrl-C then."""
    (tmp_path / "go").write_text(
        f"#!/bin/sh\necho $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 600\n"
    )
    (tmp_path / "go").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "matrix", "etcd-3.6"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        wait_until((tmp_path / "pid").exists, "the build does not begin")
        process.terminate()
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, said.splitlines()[-1]) == (130, "matrix: interrupted")
    build = int((tmp_path / "pid").read_text())
    wait_until(lambda: not is_alive(build), "the build goes on")
    assert left() == []


def wait_until(condition: Callable[[], bool], failure: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, failure
        time.sleep(0.01)
