"""``make clean`` and ``make clean-all`` leave nothing behind but what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from servers.programs import find

ROOT = Path(__file__).parents[2]
IGNORED = [line for line in (ROOT / ".gitignore").read_text().splitlines() if line]
#: What somebody waited for. `make help` says that it stays.
STAYS = "benchmarks/results"
CACHE = "jhub-kvproxy/kubernetes/1.37.2"


@pytest.mark.parametrize(("target", "left"), [("clean", {STAYS, f"cache/{CACHE}"}), ("clean-all", set())])
def test_all_that_git_ignores_is_removed_but_what_somebody_waited_for(target, left, tmp_path):
    find("make")
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    elsewhere = tmp_path.with_name(f"{tmp_path.name}-of-others")
    elsewhere.mkdir()
    (elsewhere / "kube-apiserver").write_text("x")
    ignored = [pattern.replace("*", "x").strip("/") for pattern in IGNORED]
    for path in (*ignored, f"cache/{CACHE}", "cache/others"):
        directory = tmp_path / path
        directory.mkdir(parents=True)
        (directory / "file").write_text("x")
        (directory / "link").symlink_to(elsewhere)
    (tmp_path / "cache" / CACHE).chmod(0o500)  # as Go makes its directories
    make(tmp_path, target, cache=tmp_path / "cache")
    found = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("file")}
    assert found == {*left, "cache/others"}
    assert list(elsewhere.iterdir())
    make(tmp_path, target, cache=tmp_path / "cache")


def test_clean_all_takes_the_cache_in_the_home_directory(tmp_path):
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    built = tmp_path / ".cache" / CACHE
    built.mkdir(parents=True)
    make(tmp_path, "clean-all", cache="")
    assert [path.name for path in (tmp_path / ".cache").iterdir()] == []


def make(directory: Path, target: str, cache: Path | str) -> None:
    environment = {**os.environ, "HOME": str(directory), "XDG_CACHE_HOME": str(cache)}
    subprocess.run(["make", target], cwd=directory, env=environment, check=True, capture_output=True)


def test_the_help_says_what_stays():
    said = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert f"removes what the others made here, but for {STAYS}/" in said
    assert "make clean-all" in said
    assert "${XDG_CACHE_HOME:-~/.cache}/jhub-kvproxy/" in said
