"""What wheel and sdist must hold. Each check returns one line that says what it found, or raises Wrong."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from email.message import Message
from email.parser import Parser
from pathlib import Path

#: The directory of the checkout that each package of the wheel is.
PACKAGES = {"jhub_kvproxy": "jhub_kvproxy", "jhub_kvproxy_backends": "backends/jhub_kvproxy_backends"}
PLUGIN = "jhub_kvproxy/traefik/plugin/"
_TAG = re.compile(r"v\d+\.\d+\.\d+((a|b|rc)\d+)?")
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")


class Wrong(Exception):
    """What is to be released must not be."""


def tag(names: Iterable[str]) -> str:
    """The one tag of a release, of those that its commit has; empty if it has none.

    With two, the programs that ask git for it need not get the same.
    """
    found = sorted(names)
    if wrong := [name for name in found if not _TAG.fullmatch(name)]:
        raise Wrong(f"a release is a tag such as v1.2.3 or v1.2.3rc1, not {', '.join(wrong)}")
    if len(found) > 1:
        raise Wrong(f"a release has a commit of its own; this one has the tags {', '.join(found)}")
    return "".join(found)


def wheel_files(wheel: Path, tracked: set[str]) -> str:
    """The wheel has what git tracks of the packages and nothing else, the licence among it."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    told = {name for name in names if ".dist-info/" in name}
    expected = {
        f"{package}/{name.removeprefix(directory + '/')}"
        for package, directory in PACKAGES.items()
        for name in tracked
        if name.startswith(f"{directory}/")
    }
    _same("the wheel", names - told, expected)
    _has("the wheel", told, ".dist-info/licenses/LICENSE", ".dist-info/entry_points.txt")
    _has("the wheel", names, *(f"{package}/py.typed" for package in PACKAGES), f"{PLUGIN}routing.go", f"{PLUGIN}go.mod")
    plugin = sum(name.startswith(PLUGIN) for name in names)
    return f"{len(expected)} files, licence, py.typed of {len(PACKAGES)} packages, {plugin} files of the plugin"


def sdist_files(sdist: Path, tracked: set[str]) -> str:
    """The sdist has all that git tracks: code, tests, tools and documentation."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    # setuptools adds a section to its setup.cfg.
    made = {name for name in names if ".egg-info/" in name} | {"PKG-INFO"}
    _same("the sdist", names - made - {"setup.cfg"}, tracked - {"setup.cfg"})
    return f"{len(tracked)} files, all that git tracks"


def metadata(wheel: Path, version: str) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        told = Parser().parsestr(archive.read(name).decode())
    if told["Version"] != version:
        raise Wrong(f"{wheel.name} says that it is {told['Version']}, not {version}")
    return told


def links(told: Message, tree: Path) -> str:
    """Where the description and the project's URLs lead to: files of the tree are there, other places have https."""
    targets = [match["target"] for match in _LINK.finditer(str(told.get_payload()))]
    targets += [url.partition(", ")[2] for url in told.get_all("Project-URL", [])]
    outside = [target for target in targets if ":" in target.partition("/")[0]]
    inside = [target for target in targets if target not in outside]
    wrong = [target for target in outside if not target.startswith("https://")]
    wrong += [target for target in inside if not (tree / target.partition("#")[0]).exists()]
    if wrong:
        raise Wrong(f"the metadata has links that lead nowhere: {', '.join(wrong)}")
    return f"{len(inside)} links to files of the tree, which no index shows; {len(outside)} by https to elsewhere"


def same(first: Mapping[str, str], second: Mapping[str, str]) -> str:
    """Two builds gave the same files, with the same digests."""
    if first != second:
        differ = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
        raise Wrong(f"a second build differs: {', '.join(differ)}")
    return ", ".join(f"{name} sha256:{digest[:16]}..." for name, digest in first.items())


def _same(what: str, found: set[str], expected: set[str]) -> None:
    if found != expected:
        lacks, more = sorted(expected - found), sorted(found - expected)
        raise Wrong(f"{what} lacks {lacks or 'nothing'}, and has {more or 'nothing'} that git does not track")


def _has(what: str, names: set[str], *ends: str) -> None:
    for end in ends:
        if not any(name.endswith(end) for name in names):
            raise Wrong(f"{what} has no {end}")
