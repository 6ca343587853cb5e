"""The conditions of a run: the machine, and the version of everything that is measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from servers.errors import Missing
from servers.kubernetes import find_api_server
from servers.programs import ROOT, find, peer_python

_COMMANDS = {
    "Traefik": ("traefik", "version"),
    "etcd": ("etcd", "--version"),
    "Consul": ("consul", "version"),
    "Redis": ("redis-server", "--version"),
    "Kubernetes": ("kube-apiserver", "--version"),
    "PostgreSQL": ("postgres", "--version"),
    "HAProxy": ("haproxy", "-v"),
    "nginx": ("nginx", "-v"),
    "wrk": ("wrk", "-v"),
    "Node.js": ("node", "--version"),
    "CHP": ("configurable-http-proxy", "--version"),
}
_VERSION = re.compile(r"\d+\.\d+(\.\d+)*")


def describe() -> dict[str, Any]:
    """The conditions of the run that begins now."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    versions = {"jhub-kvproxy": _own_version(), "Python": platform.python_version()}
    versions |= {package: _package(package) for package in ("jupyterhub", "aiohttp")}
    for name, (program, argument) in _COMMANDS.items():
        try:
            path = find_api_server() if program == "kube-apiserver" else find(program)
            versions[name] = _first_version([path, argument])
        except Missing:
            versions[name] = "absent"
    try:
        code = "from importlib.metadata import version; print(version('jupyterhub-traefik-proxy'))"
        versions["jupyterhub-traefik-proxy"] = _first_version([peer_python(), "-c", code])
    except Missing:
        versions["jupyterhub-traefik-proxy"] = "absent"
    return versions


def _own_version() -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return f"{_package('jhub-kvproxy')} {commit}".strip()


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _first_version(command: list[str]) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    found = _VERSION.search(said.stdout + said.stderr)
    return found[0] if found else "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
