"""``make clean`` leaves nothing behind but what it says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from servers.programs import find

ROOT = Path(__file__).parents[2]
IGNORED = [line for line in (ROOT / ".gitignore").read_text().splitlines() if line]
#: What somebody waited for. `make help` says that it stays.
STAYS = "benchmarks/results"


def test_all_that_git_ignores_is_removed_but_results(tmp_path):
    find("make")
    shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
    elsewhere = tmp_path.with_name("cache")
    elsewhere.mkdir()
    (elsewhere / "kube-apiserver").write_text("x")
    for pattern in IGNORED:
        directory = tmp_path / pattern.replace("*", "x").strip("/")
        directory.mkdir(parents=True)
        (directory / "file").write_text("x")
        (directory / "link").symlink_to(elsewhere)
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("file")}
    assert left == {f"{STAYS}/file"}
    assert list(elsewhere.iterdir())


def test_the_help_says_what_stays():
    said = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert f"make clean             removes what the others made, but for {STAYS}/" in said
