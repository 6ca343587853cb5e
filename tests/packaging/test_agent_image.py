"""What can be known of the agent's image without building it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from charts.image import try_imports
from tests.shell import run
from tools import lock_image

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
COPIED = [
    name for words in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.MULTILINE) for name in words.split()[:-1]
]
#: The image has its own beside the locked packages; Python's environments bring the other.
OURS = {"jhub-kvproxy", "setuptools"}


def pins(lock: Path) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes, by name."""
    text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        pin, *hashes = line.split()
        name, version = pin.split("==")
        found[name] = version, hashes
    return found


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        (lock_image.RUNTIME_LOCK, lock_image.runtime_requirements()),
        (lock_image.BUILD_LOCK, lock_image.build_requirements()),
    ],
    ids=["runtime", "build"],
)
def test_the_lock_is_what_setup_cfg_asks_for_with_hashes(lock, requirements):
    locked = pins(lock)
    for requirement in requirements:
        assert canonicalize_name(requirement.name) in locked, f"{requirement} is missing: make image-lock"
        version, _ = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: make image-lock"
    for name, (_, hashes) in locked.items():
        assert hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), name


def test_the_agent_and_the_drivers_import_nothing_but_what_is_locked():
    code = (
        "import sys; sys.modules['jupyterhub'] = None; sys.path.insert(0, sys.argv[1]);"
        "import try_imports; [__import__(name) for name in try_imports.modules()]; print(*sys.modules)"
    )
    imported = run(sys.executable, "-c", code, ROOT / "charts" / "image").split()
    of = packages_distributions()
    tops = {name.partition(".")[0] for name in imported} - {"jupyterhub"}
    used = {canonicalize_name(name) for top in tops for name in of.get(top, [])} - OURS
    # aiohttp takes them where they are: it needs neither.
    optional = {"aiodns", "pycares", "brotli", "typing-extensions"}
    assert "aiohttp" in used
    assert used - optional <= set(pins(lock_image.RUNTIME_LOCK))


def test_try_imports_has_all_parts_but_those_that_need_jupyterhub_or_are_for_drivers():
    packages = {
        path.name.removesuffix(".py") for path in (ROOT / "jhub_kvproxy").iterdir() if path.suffix in ("", ".py")
    }
    tried = {name.split(".")[1] for name in try_imports.modules() if name.startswith("jhub_kvproxy.")}
    assert packages - tried - {"__pycache__"} == {"hub", "page", "testing", "__main__", "__init__"}


def test_the_containerfile_names_files_that_there_are_and_that_the_engine_gets():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert COPIED
    for name in COPIED:
        assert (ROOT / name).exists(), name
        assert any(Path(name).is_relative_to(each) for each in allowed), f".dockerignore leaves {name} out"
    for name in allowed:
        assert any(Path(each).is_relative_to(name) for each in COPIED), f"{name} is not copied"


def test_each_base_is_given_by_its_digest():
    bases = dict(re.findall(r"^ARG (BUILD|BASE)=(.*)$", CONTAINERFILE, re.MULTILINE))
    assert bases.keys() == {"BUILD", "BASE"}
    for base in bases.values():
        assert re.search(r"@sha256:[0-9a-f]{64}$", base), base


def test_no_user_of_the_image_is_root():
    last = CONTAINERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", last, re.MULTILINE) == ["65532:65532"]
    assert not re.findall(r"^RUN", last, re.MULTILINE), "the base need not have a shell"


def with_engine(tmp_path: Path, name: str, *words: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs tools/image of the checkout `root` where the only engine is `name`, one that only says what it is asked for.

    There is none if `name` is empty.
    """
    for tool in ("git", "dirname", "bash", "env"):
        (tmp_path / tool).symlink_to(run("bash", "-c", f"type -P {tool}").strip())
    if name:
        (tmp_path / name).write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
        (tmp_path / name).chmod(0o755)
    return subprocess.run(
        [root / "tools" / "image", *words],
        env=os.environ | {"PATH": str(tmp_path), "PUSH": "yes"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["podman", "buildah", "docker"])
def test_each_engine_gets_the_date_of_the_commit(tmp_path, name):
    result = with_engine(tmp_path, name, "here/ours:mine")
    assert result.returncode == 0, result.stderr
    date = run("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
    asked = result.stdout.splitlines()
    assert f"SOURCE_DATE_EPOCH={date}" in asked
    assert "rewrite-timestamp=true" in result.stdout if name == "docker" else date in asked
    assert asked[-3:] == ["Built here/ours:mine", "push", "here/ours:mine"]


@pytest.mark.parametrize(
    ("tag", "changed", "version"), [("v1.2.3", "", "1.2.3"), ("", "", ""), ("v1.2.3", "setup.cfg", "")]
)
def test_its_version_is_the_tag_of_a_checkout_without_changes(tag, changed, version, tmp_path):
    checkout, programs = tmp_path / "checkout", tmp_path / "programs"
    (checkout / "tools").mkdir(parents=True)
    programs.mkdir()
    shutil.copy(ROOT / "tools" / "image", checkout / "tools")
    for words in (
        ["init", "--quiet"],
        ["add", "."],
        ["commit", "--quiet", "-m", "x"],
        *([["tag", tag]] if tag else []),
    ):
        run("git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words, cwd=checkout)
    if changed:
        (checkout / changed).touch()
    asked = with_engine(programs, "podman", root=checkout).stdout.splitlines()
    assert f"Built jhub-kvproxy:{version or 'dev'}" in asked
    assert f"VERSION={version or '0.0.dev0'}" in asked
    assert any(word.endswith("-changed") for word in asked) is bool(changed)


def test_without_an_engine_it_says_which_there_are(tmp_path):
    result = with_engine(tmp_path, "")
    assert result.returncode == 1
    assert "podman, buildah nor docker" in result.stderr
