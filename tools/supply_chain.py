"""What comes with jhub-kvproxy: which packages a hub's process imports, and under which licences all of them are.

``make supply-chain`` writes docs/explanation/supply-chain/imports.md from it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from pkgutil import iter_modules

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import jhub_kvproxy_backends

OURS = "jhub-kvproxy"
PAGE = Path(__file__).parents[1] / "docs/explanation/supply-chain/imports.md"
#: Asked in a process of its own: each module that has a file, with what it takes on the disk.
_ASK = """
import importlib, json, os, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
found = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if name not in before}
print(json.dumps({name: os.path.getsize(file) for name, file in found.items() if file and os.path.exists(file)}))
"""
_JUPYTERHUB = ("jupyterhub.app",)
_HUB = (*_JUPYTERHUB, "jhub_kvproxy.hub.proxy")
_AGENT = ("jhub_kvproxy.cli.app", "jhub_kvproxy.agent.agent")


@dataclass(frozen=True)
class Package:
    """Of an installed package: what a process imports of it."""

    name: str
    modules: int
    size: int


def imported(*modules: str) -> dict[str, Package]:
    """The packages that a Python has imported after `modules`, by name; the standard library is none."""
    asked = [sys.executable, "-c", _ASK, *modules]
    sizes: dict[str, int] = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    of = packages_distributions()
    files: dict[str, list[int]] = {}
    for module, size in sizes.items():
        for name in {canonicalize_name(each) for each in of.get(module.partition(".")[0], [])}:
            files.setdefault(name, []).append(size)
    return {name: Package(name, len(each), sum(each)) for name, each in files.items()}


def added(by: Mapping[str, Package], to: Mapping[str, Package]) -> list[Package]:
    """What `by` has of other packages that `to` has not."""
    return sorted((by[name] for name in by.keys() - to.keys() - {OURS}), key=lambda each: each.name)


def uses() -> dict[str, list[Package]]:
    """For each use of ours, what a process imports for it that it would not import without it.

    A hub imports what JupyterHub does, and for KVProxy more; each driver adds to that. An agent has no JupyterHub.
    """
    jupyterhub, hub = imported(*_JUPYTERHUB), imported(*_HUB)
    return {
        "agent": added(imported(*_AGENT), {}),
        "JupyterHub": added(jupyterhub, {}),
        "KVProxy": added(hub, jupyterhub),
        **{name: added(imported(*_HUB, *modules), hub) for name, modules in drivers().items()},
    }


def drivers() -> dict[str, list[str]]:
    """The modules of each of our drivers, by the backend's name: some are imported when a store is opened only."""
    points = distribution(OURS).entry_points.select(group="jhub_kvproxy.backends")
    files = [each.name for each in iter_modules(jhub_kvproxy_backends.__path__, "jhub_kvproxy_backends.")]
    return {
        point.name: [
            point.module,
            *(each for each in files if each.startswith(f"jhub_kvproxy_backends._{point.name}_")),
        ]
        for point in sorted(points, key=lambda each: each.name)
    }


def licence(of: Distribution) -> str:
    """As the package states it: an expression, or else its classifiers, or else its word for it."""
    told = of.metadata
    if expression := told.get("License-Expression"):
        return str(expression)
    prefix = "License :: "
    classes = [each for each in told.get_all("Classifier") or [] if each.startswith(prefix)]
    named = [each.rpartition(" :: ")[2] for each in classes if not each.endswith("OSI Approved")]
    return " AND ".join(sorted(named)) or (told.get("License") or "").strip().partition("\n")[0]


def needed(extras: Iterable[str]) -> dict[str, Distribution]:
    """All that is installed for jhub-kvproxy with `extras`, and what that needs in turn."""
    found: dict[str, Distribution] = {}
    todo = [(OURS, frozenset(extras))]
    seen = set()
    while todo:
        asked = todo.pop()
        if asked in seen:
            continue
        seen.add(asked)
        name, wanted = asked
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue  # Another platform's, or an extra that is not installed.
        found[canonicalize_name(name)] = installed
        for requirement in map(Requirement, installed.requires or []):
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in (*wanted, "")
            ):
                todo.append((requirement.name, frozenset(requirement.extras)))
    del found[OURS]
    return found


def extras() -> list[str]:
    return distribution(OURS).metadata.get_all("Provides-Extra") or []


def page() -> Iterator[str]:
    """The lines of the documentation's table."""
    yield "<!-- Made by make supply-chain. -->"
    yield "| for | package | licence | modules | kB |"
    yield "|---|---|---|---|---|"
    for use, packages in uses().items():
        for each in packages:
            stated = licence(distribution(each.name))
            yield f"| {use} | {each.name} | {stated} | {each.modules} | {each.size / 1000:.0f} |"


def named_on_page(text: str) -> dict[tuple[str, str], int]:
    """The modules that the page counts, by use and package."""
    rows = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| "))
    return {(row[0], row[1]): int(row[3]) for row in rows if row[3].isdecimal()}


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(page()) + "\n", encoding="utf-8")
