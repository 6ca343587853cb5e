"""Writes the lock files of the agent's image: the newest packages that setup.cfg allows, with their hashes.

make image-lock runs this. It asks the package index, by pip, and installs nothing.
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
#: What is installed into the image, and what its wheel is built with.
RUNTIME_LOCK, BUILD_LOCK = ROOT / "charts/image/requirements.lock", ROOT / "charts/image/build.lock"
#: That of the bases in the Containerfile.
PYTHON = "3.13"
MACHINES = ("x86_64", "aarch64")
#: The agent never imports it.
_NOT_NEEDED = "jupyterhub"
_HEADER = "# Made by make image-lock, from {}. For Python {} on {}.\n"


def runtime_requirements() -> list[Requirement]:
    """What an agent needs: for each of our drivers, and for a Traefik of its own."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    drivers = {
        line.partition("=")[0].strip() for line in _lines(setup["options.entry_points"]["jhub_kvproxy.backends"])
    }
    extras = setup["options.extras_require"]
    wanted = [setup["options"]["install_requires"], *(extras[name] for name in extras if name in drivers | {"traefik"})]
    requirements = [Requirement(line) for text in wanted for line in _lines(text)]
    return [requirement for requirement in requirements if requirement.name != _NOT_NEEDED]


def build_requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [Requirement(line) for line in project["build-system"]["requires"]]


def closure(wanted: Iterable[Requirement], report: dict[str, Any], machine: str) -> dict[str, Any]:
    """The entries of pip's `report` that `wanted` lead to, by name.

    pip itself asks for what the Python that it runs on needs, too.
    """
    environment = report["environment"] | {
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.0",
        "implementation_version": f"{PYTHON}.0",
        "platform_machine": machine,
    }
    entries = {canonicalize_name(entry["metadata"]["name"]): entry for entry in report["install"]}
    found: dict[str, Any] = {}
    todo = [(requirement, "") for requirement in wanted]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate(environment | {"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        is_new = name not in found
        found[name] = entries[name]
        needed = [Requirement(text) for text in entries[name]["metadata"].get("requires_dist", [])]
        todo += [(each, "") for each in needed if is_new]
        todo += [(each, extra) for extra in requirement.extras for each in needed if each.marker]
    return found


def lock(requirements: list[Requirement], source: str) -> str:
    """The text of a lock file."""
    pins: dict[str, set[str]] = {}
    for machine in MACHINES:
        for name, entry in closure(requirements, _resolved(requirements, machine), machine).items():
            pin = f"{name}=={entry['metadata']['version']}"
            pins.setdefault(pin, set()).add(entry["download_info"]["archive_info"]["hashes"]["sha256"])
    lines = [
        " \\\n    ".join([pin, *(f"--hash=sha256:{value}" for value in sorted(hashes))]) + "\n"
        for pin, hashes in sorted(pins.items())
    ]
    return "".join([_HEADER.format(source, PYTHON, " and ".join(MACHINES)), *lines])


def _resolved(requirements: list[Requirement], machine: str) -> dict[str, Any]:
    """What pip would install for `machine`: its report."""
    platforms = [f"--platform=manylinux_2_{glibc}_{machine}" for glibc in (28, 17)]
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
            *("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}", *platforms),
            *(f"--platform=manylinux2014_{machine}", f"--target={directory}", f"--report={report}"),
            *map(str, requirements),
        ]
        subprocess.run(command, check=True)
        resolved: dict[str, Any] = json.loads(report.read_bytes())
        return resolved


def _lines(text: str) -> Iterator[str]:
    return (line for line in map(str.strip, text.splitlines()) if line)


def main() -> None:
    RUNTIME_LOCK.write_text(lock(runtime_requirements(), "setup.cfg"), encoding="utf-8")
    BUILD_LOCK.write_text(lock(build_requirements(), "pyproject.toml"), encoding="utf-8")


if __name__ == "__main__":
    main()
