"""Which Traefik there is, and whether it is new enough."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

from ..errors import TraefikError

#: The oldest release of each line that we run with: older ones have holes in how they read paths
#: (CVE-2024-45410, CVE-2025-47952, CVE-2025-66490, CVE-2026-40912, CVE-2026-48020, CVE-2026-65600).
FLOORS = ((3, 6, 23), (3, 7, 7))
#: The first that can remove headers whose names some servers take for others (``X.Forwarded.For``; CVE-2026-88011). An
#: older one does not start with the option.
_ALIASES = (3, 7, 12)

#: The first line whose services have middlewares and failover by status (Traefik docs, "Service Middlewares").
_ERROR_PAGES_SINCE = (3, 7)


def check_version(version: str, where: str, *, error_pages: bool = False) -> None:
    """Raises :class:`TraefikError` unless `version`, such as ``3.7.15``, is new enough, also for `error_pages`."""
    found = _numbers(version)
    if not any(found >= floor and (found[:2] == floor[:2] or floor == FLOORS[-1]) for floor in FLOORS):
        floors = " or ".join(".".join(map(str, floor)) for floor in FLOORS)
        raise TraefikError(
            f"{where} is Traefik {version}, but {floors} or newer is needed (older ones have known security holes). "
            'Upgrade it; pip install "jhub-kvproxy[traefik]" brings one.'
        )
    if error_pages and found < _ERROR_PAGES_SINCE:
        raise TraefikError(
            f"{where} is Traefik {version}, but error pages need {'.'.join(map(str, FLOORS[-1]))} or newer. "
            "Upgrade it, or set KVProxy.error_target to an empty text."
        )


def knows_aliases(version: str) -> bool:
    """Whether a Traefik of this version has ``aliasHeadersStrategy``; no for an unknown one, the empty text."""
    return _numbers(version) >= _ALIASES


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, match.groups())) if match else ()


def find_traefik(command: Sequence[str]) -> list[str]:
    """`command` with its first word as a full path; looked for beside Python, then on PATH.

    Raises :class:`TraefikError` when there is none.
    """
    beside_python = os.path.dirname(sys.executable)
    path = os.pathsep.join([beside_python, os.environ.get("PATH", os.defpath)])
    found = shutil.which(command[0], path=path) if command else None
    if not found:
        raise TraefikError(
            f"KVProxy.traefik_cmd = {list(command)!r}: there is no such program beside Python or on PATH. "
            'Install Traefik with pip install "jhub-kvproxy[traefik]", or set KVProxy.traefik_cmd to yours.'
        )
    return [found, *command[1:]]


async def installed_version(command: Sequence[str]) -> str:
    """The version that ``traefik version`` tells. Raises :class:`TraefikError` when it tells none."""
    try:
        result = await asyncio.to_thread(
            subprocess.run, [*command, "version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TraefikError(f"{command[0]} cannot be run: {error}.") from error
    match = re.search(r"^Version:\s+(\S+)", result.stdout, re.MULTILINE)
    if not match:
        raise TraefikError(f"'{' '.join(command)} version' tells no version; is it Traefik?")
    return match[1]
