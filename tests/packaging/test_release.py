"""What `make release-check` and its parts say, and where the version comes from."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.pages import need
from tests.shell import run
from tools import changelog, check_dist
from tools.build_dist import dated

ROOT = Path(__file__).parents[2]
CHANGELOG = changelog.CHANGELOG.read_text()
EPOCH = 1_700_000_000


def git(directory: Path, *words: object) -> str:
    me = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "init.defaultBranch=main")
    return run("git", *me, *words, cwd=directory)


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit, of what says where the version comes from."""
    directory = tmp_path / "checkout"
    directory.mkdir()
    for name in ("pyproject.toml", ".git_archival.txt", ".gitattributes"):
        shutil.copy(ROOT / name, directory)
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message=x")
    return directory


def version_of(directory: Path) -> str:
    need("setuptools_scm")
    return run(sys.executable, "-m", "setuptools_scm", cwd=directory).strip()


def test_a_tag_is_the_version(checkout):
    git(checkout, "tag", "v1.2.3")
    assert version_of(checkout) == "1.2.3"


def test_a_tag_of_something_else_is_none(checkout):
    git(checkout, "tag", "v1.2.3")
    git(checkout, "commit", "--quiet", "--allow-empty", "--message=y")
    git(checkout, "tag", "chart-7.0.0")
    assert version_of(checkout).startswith("1.2.4.dev1")


def test_a_clone_without_tags_has_a_version_too(checkout):
    assert version_of(checkout).startswith("0.0.dev1")


@pytest.mark.parametrize(("tag", "version"), [("v1.2.3", "1.2.3"), ("", "0.0")])
def test_an_archive_has_the_version_of_its_tag(checkout, tmp_path, tag, version):
    if tag:
        git(checkout, "tag", tag)
    archive, tree = tmp_path / "archive.tar", tmp_path / "tree"
    git(checkout, "archive", f"--output={archive}", "HEAD")
    tree.mkdir()
    run("tar", "--extract", f"--file={archive}", f"--directory={tree}")
    assert version_of(tree).startswith(version)


def test_the_changelog_is_kept_by_release():
    first, *others = changelog.sections(CHANGELOG)
    assert (first.name, first.date) == (changelog.UNRELEASED, "")
    assert all(re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", each.name) and each.date for each in others)
    assert [each.date for each in others] == sorted((each.date for each in others), reverse=True)
    for each in (first, *others):
        assert list(each.kinds) == [kind for kind in changelog.KINDS if kind in each.kinds], each.name


def test_each_tag_has_its_section():
    for tag in run("git", "tag", "--list", "v[0-9]*", cwd=ROOT).split():
        changelog.section(CHANGELOG, tag.removeprefix("v"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("## [Unreleased]\n\n- x\n", "has no section [1.2.3]"),
        ("## [1.2.3] - 2026-01-31\n\n## [1.2.2] - 2026-01-30\n\n- x", "says nothing below [1.2.3]"),
        ("## [1.2.3]\n\n- x", "has no date for [1.2.3]"),
    ],
)
def test_a_release_without_its_section_is_refused(text, sentence):
    with pytest.raises(LookupError, match=re.escape(sentence)):
        changelog.section(text, "1.2.3")


def test_make_prints_what_is_to_come():
    assert subprocess.run(
        ["make", "release-notes", f"PYTHON={sys.executable}", "RELEASE="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.startswith("### Added")


@pytest.mark.parametrize(
    ("names", "tag"),
    [([], ""), (["v1.2.3"], "v1.2.3"), (["v1.2.3rc1"], "v1.2.3rc1")],
)
def test_a_commit_has_one_tag_or_none(names, tag):
    assert check_dist.tag(names) == tag


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["v1.2.3", "v1.2.3rc1"], "has the tags v1.2.3, v1.2.3rc1"),
        (["v1.2"], "not v1.2"),
        (["v1.2.3-rc1"], "not v1.2.3-rc1"),
    ],
)
def test_a_tag_that_not_all_read_alike_is_refused(names, sentence):
    with pytest.raises(check_dist.Wrong, match=re.escape(sentence)):
        check_dist.tag(names)


@pytest.fixture
def with_makefile(checkout):
    shutil.copy(ROOT / "Makefile", checkout)
    git(checkout, "add", "Makefile")
    git(checkout, "commit", "--quiet", "--message=y")
    return checkout


def make(directory: Path, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *words], cwd=directory, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(("tag", "is_one"), [("v1.2.3", True), ("v1.2.3rc1", True), ("v1.2", False), ("v1.2-3", False)])
def test_make_publishes_tags_of_releases_only(tag, is_one, with_makefile):
    git(with_makefile, "tag", tag)
    assert (make(with_makefile, "is-release", "IMAGE=x").returncode == 0) is is_one


def test_no_name_of_a_tag_is_run_by_a_shell(with_makefile):
    git(with_makefile, "tag", "v1.2.3';touch${IFS}seen;'")
    assert "No tag such as v1.2.3" in make(with_makefile, "is-release", "IMAGE=x").stderr
    assert not (with_makefile / "seen").exists()


def test_what_is_not_committed_is_not_published(with_makefile):
    git(with_makefile, "tag", "v1.2.3")
    (with_makefile / "pyproject.toml").write_text("")
    done = make(with_makefile, "is-release", "IMAGE=x")
    assert (done.returncode, "not committed" in done.stderr) == (2, True)


@pytest.mark.parametrize(("tag", "is_candidate"), [("v1.2.3", False), ("v1.2.3rc1", True)])
def test_a_candidate_is_not_shown_as_the_newest_release(tag, is_candidate, with_makefile):
    git(with_makefile, "tag", tag)
    said = make(with_makefile, "--dry-run", "publish-notes", "IMAGE=x").stdout
    assert ("--prerelease" in said) is is_candidate


def test_a_release_without_its_section_gets_no_page(with_makefile, tmp_path):
    git(with_makefile, "tag", "v1.2.3")
    for name in ("gh", "helm"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n')
        (tmp_path / name).chmod(0o755)
    shutil.copytree(ROOT / "tools", with_makefile / "tools")
    shutil.copytree(ROOT / "charts", with_makefile / "charts")
    changelog_file = with_makefile / "CHANGELOG.md"
    changelog_file.write_text("## [Unreleased]\n\n- x\n")
    words = ("publish-notes", "IMAGE=x", f"PYTHON={sys.executable}")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert make(with_makefile, *words, env=environment).returncode == 2
    assert "release create" not in (tmp_path / "asked").read_text()
    changelog_file.write_text("## [1.2.3] - 2026-01-31\n\n- x\n")
    assert make(with_makefile, *words, env=environment).returncode == 0
    assert "release create v1.2.3 --verify-tag --notes - x" in (tmp_path / "asked").read_text()


def packed(files: dict[str, str], mtime: int, order: int = 1) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in sorted(files)[::order]:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname, member.mode = len(files[name]), mtime, "me", 0o664
            archive.addfile(member, io.BytesIO(files[name].encode()))
    return out.getvalue()


def test_an_sdist_does_not_tell_when_and_by_whom_it_was_packed():
    files = {"x-1/a": "a", "x-1/b": "b"}
    one = dated(packed(files, 1), EPOCH)
    assert one == dated(packed(files, 2, -1), EPOCH)
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        assert {member.name: archive.extractfile(member).read().decode() for member in archive} == files
        assert {(member.mtime, member.uname, member.mode) for member in archive} == {(EPOCH, "", 0o644)}


DIST_INFO = "jhub_kvproxy-1.2.3.dist-info"
FILES = {
    "jhub_kvproxy/py.typed": "jhub_kvproxy/py.typed",
    "jhub_kvproxy/traefik/plugin/go.mod": "jhub_kvproxy/traefik/plugin/go.mod",
    "jhub_kvproxy/traefik/plugin/routing.go": "jhub_kvproxy/traefik/plugin/routing.go",
    "backends/jhub_kvproxy_backends/py.typed": "jhub_kvproxy_backends/py.typed",
}
TOLD = f"{DIST_INFO}/licenses/LICENSE", f"{DIST_INFO}/entry_points.txt"


def make_wheel(file: Path, names: list[str], description: str = "") -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "")
        archive.writestr(f"{DIST_INFO}/METADATA", f"Version: 1.2.3\n\n{description}")
    return file


def test_a_wheel_that_has_all_passes(tmp_path):
    wheel = make_wheel(tmp_path / "x.whl", [*FILES.values(), *TOLD])
    assert check_dist.wheel_files(wheel, {*FILES, "README.md"}).startswith("4 files, licence")


@pytest.mark.parametrize("missing", [*FILES.values(), *TOLD])
def test_a_wheel_that_lacks_a_file_is_refused(tmp_path, missing):
    wheel = make_wheel(tmp_path / "x.whl", [name for name in (*FILES.values(), *TOLD) if name != missing])
    with pytest.raises(check_dist.Wrong, match=re.escape(missing.rpartition("/")[2])):
        check_dist.wheel_files(wheel, set(FILES))


def test_a_wheel_with_a_file_that_git_does_not_track_is_refused(tmp_path):
    wheel = make_wheel(tmp_path / "x.whl", [*FILES.values(), *TOLD, "jhub_kvproxy/secret.py"])
    with pytest.raises(check_dist.Wrong, match=r"secret\.py"):
        check_dist.wheel_files(wheel, set(FILES))


def test_a_wheel_of_another_version_is_refused(tmp_path):
    with pytest.raises(check_dist.Wrong, match=r"says that it is 1\.2\.3, not 1\.2\.4"):
        check_dist.metadata(make_wheel(tmp_path / "x.whl", []), "1.2.4")


@pytest.mark.parametrize("link", ["[x](docs/nowhere.md)", "[x](http://example.org)"])
def test_metadata_with_a_link_that_leads_nowhere_is_refused(tmp_path, link):
    wheel = make_wheel(tmp_path / "x.whl", [], f"[here](README.md#x), {link}")
    with pytest.raises(check_dist.Wrong, match="lead nowhere"):
        check_dist.links(check_dist.metadata(wheel, "1.2.3"), ROOT)


def test_builds_that_differ_are_refused():
    with pytest.raises(check_dist.Wrong, match=r"differs: b\.whl"):
        check_dist.same({"a.whl": "1", "b.whl": "2"}, {"a.whl": "1", "b.whl": "3"})
