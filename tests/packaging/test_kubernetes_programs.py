"""``tools/kubernetes``: what it builds takes minutes, so these tests are about all but the builds."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from servers.ports import free_port
from servers.programs import find
from tests.shell import run

ROOT = Path(__file__).parents[2]
_NEWEST = "1.37.2"
_OLDEST = "1.20.2"
_NEEDED = ["bash", "chmod", "dirname", "env", "flock", "grep", "ln", "mkdir", "mv", "nice", "rm", "sed", "tail"]


@pytest.fixture
def checkout(tmp_path):
    """A checkout with nothing but the tools."""
    shutil.copytree(ROOT / "tools", tmp_path / "checkout" / "tools")
    return tmp_path / "checkout"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "jhub-kvproxy" / "kubernetes"


@pytest.fixture
def environment(tmp_path):
    """Of somebody who has neither Go nor a kube-apiserver."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in _NEEDED:
        (programs / program).symlink_to(str(shutil.which(program)))
    return {"PATH": str(programs), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def go(environment: dict[str, str], **variables: str) -> dict[str, str]:
    """The environment with Go."""
    (Path(environment["PATH"]) / "go").symlink_to(find("go"))
    return {**environment, **variables}


def refuse(checkout, environment, *arguments: str) -> str:
    """What the script says when it fails."""
    result = subprocess.run(
        ["tools/kubernetes", *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1, result.stdout
    return result.stderr


def have(cache: Path, *names: str) -> None:
    """As a build leaves them."""
    for name in names:
        (cache / name).mkdir(parents=True)
        (cache / name / "program").touch()


def test_what_was_built_is_linked_and_not_built_again(checkout, cache, environment):
    names = [_NEWEST, _OLDEST, "helm-4.3.1", "helm-3.22.0"]
    have(cache, *names)
    for _ in range(2):
        assert run("tools/kubernetes", "newest", "oldest", "helm", cwd=checkout, env=environment) == ""
        links = {link.name: link.readlink() for link in (checkout / ".servers" / "kubernetes").iterdir()}
        assert links == {name: cache / name for name in names}


def test_without_go_one_line_says_how_else_to_get_a_server(checkout, cache, environment):
    said = refuse(checkout, environment, "newest")
    assert said.startswith(f"kube-apiserver {_NEWEST} is not built: there is no Go")
    assert "setup-envtest" in said
    assert "KUBEBUILDER_ASSETS" in said
    assert said.count("\n") == 1
    assert not cache.exists()


def test_without_debians_archive_one_line_says_where_to_get_the_oldest(checkout, cache, environment):
    said = refuse(checkout, environment, "oldest")
    assert said.startswith(f"kube-apiserver {_OLDEST} could not be built")
    assert "put one on PATH" in said
    assert said.count("\n") == 1
    assert not [path for path in cache.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("what", "title"), [("newest", f"kube-apiserver {_NEWEST}"), ("helm", "helm 4."), ("node", f"node {_NEWEST}")]
)
def test_a_build_that_fails_leaves_nothing_and_its_reason_is_shown(what, title, checkout, cache, environment):
    closed = f"http://127.0.0.1:{free_port()}"
    said = refuse(checkout, go(environment, GOPROXY=closed), what)
    assert closed in said
    assert re.search(f"^{re.escape(title)}.* could not be built", said, re.MULTILINE)
    assert not [path for path in cache.iterdir() if path.is_dir()]
    assert not list((checkout / ".servers" / "kubernetes").iterdir())


def test_what_a_killed_run_left_is_removed(checkout, cache, environment):
    left = cache / f".{_NEWEST}.building" / "module" / "go"
    left.mkdir(parents=True)
    left.chmod(0o500)
    # In the way of the log, which has the reason.
    (left.parents[1] / "log").mkdir()
    assert "GOPROXY=off" in refuse(checkout, go(environment, GOPROXY="off"), "newest")
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_run_waits_for_another_that_builds_the_same(checkout, cache, environment):
    cache.mkdir(parents=True)
    with (cache / f".{_OLDEST}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            ["tools/kubernetes", "oldest"], cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert "Waiting for another run" in waiting.stdout.readline()
            have(cache, _OLDEST)
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert waiting.communicate(timeout=60) == ("", None)
        finally:
            waiting.kill()
            waiting.wait()
    assert waiting.returncode == 0
    assert (checkout / ".servers" / "kubernetes" / _OLDEST / "program").exists()


@pytest.mark.parametrize(("what", "version"), [("newest", "1.36.0"), ("oldest", "1.20.9")])
@pytest.mark.parametrize("place", ["PATH", "KUBEBUILDER_ASSETS"])
def test_a_server_that_the_tests_find_is_not_built(what, version, place, checkout, environment, tmp_path):
    assets = tmp_path / "assets with a space"
    assets.mkdir()
    # It says which version it is, and nothing else is asked of it.
    server = assets / "kube-apiserver"
    server.write_text(f"#!/bin/sh\necho Kubernetes v{version}\n")
    server.chmod(0o700)
    places = {"PATH": environment["PATH"]}
    places[place] = os.pathsep.join(filter(None, [places.get(place), str(assets)]))
    said = run("tools/kubernetes", what, cwd=checkout, env={**environment, **places})
    assert said == f"==> The tests use {server}\n"


def test_an_unknown_word_is_refused(checkout, environment):
    assert "not newets" in refuse(checkout, environment, "newets")
    assert "usage" in refuse(checkout, environment)
