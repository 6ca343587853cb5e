"""What is built from the tree, and an environment to install it into."""

from __future__ import annotations

import shutil
import sys
import venv
from pathlib import Path

import pytest

from tests.shell import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A copy of what git tracks, or would, so that building leaves nothing in the real one."""
    copy = tmp_path_factory.mktemp("tree") / "jhub-kvproxy"
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="session")
def dist(tree):
    """A directory with the sdist, and the wheel that is built from it."""
    run(sys.executable, "-m", "build", cwd=tree)
    return tree / "dist"


@pytest.fixture(scope="session")
def wheel(dist):
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory):
    """The interpreter of an environment that has had nothing but pip; each test leaves its install in it."""
    directory = tmp_path_factory.mktemp("clean")
    venv.create(directory, with_pip=True, symlinks=True)
    return directory / "bin" / "python"
