"""Finds the program Traefik, and checks whether it is new enough."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Sequence

from ..errors import TraefikError
from .commands import output_of

_PATIENCE = 30.0
_LONGEST_ANSWER = 1 << 16

#: The oldest release that we run with. Older ones route some requests by another path than the one they pass on
#: (CVE-2026-88009), pass on upgrades that open a tunnel past the routes (CVE-2026-88008), and let headers through that
#: they should remove (CVE-2026-88004, CVE-2026-88011). No release of the 3.6 line is without these.
FLOOR = (3, 7, 13)


#: Older ones are built with a Go whose HTTP/2 server anybody who reaches it can make crash (CVE-2026-97032). The
#: hub starts them again then, so they get a warning only.
_ADVISED = (3, 7, 15)


def advice(version: str) -> str:
    """A warning about `version`, which is new enough, as a sentence; empty: there is none."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if match and tuple(map(int, match.groups())) < _ADVISED:
        return (
            f"Anybody who reaches Traefik {version} can make it crash over HTTP/2 (CVE-2026-97032); upgrade it to "
            f"{'.'.join(map(str, _ADVISED))} or newer."
        )
    return ""


def check_version(version: str, where: str) -> None:
    """Raises :class:`TraefikError` unless `version`, such as ``3.7.15``, is new enough."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if not match or tuple(map(int, match.groups())) < FLOOR:
        raise TraefikError(
            f"{where} is Traefik {version}, but {'.'.join(map(str, FLOOR))} or newer is needed (older ones have known "
            'security holes). Upgrade it; pip install "jhub-kvproxy[traefik]" brings one.'
        )


def find_traefik(command: Sequence[str]) -> list[str]:
    """`command` with the full path of its program, which is looked for beside Python, then on PATH.

    Other words that name a file relative to the working directory become full paths too, since Traefik is started
    in another one: ``["nice", "./traefik"]``.

    Raises :class:`TraefikError` when there is no such program.
    """
    beside_python = os.path.dirname(sys.executable)
    path = os.pathsep.join([beside_python, os.environ.get("PATH", os.defpath)])
    found = shutil.which(command[0], path=path) if command else None
    if not found:
        raise TraefikError(
            f"KVProxy.traefik_cmd = {list(command)!r}: there is no such program beside Python or on PATH. "
            'Install Traefik with pip install "jhub-kvproxy[traefik]", or set KVProxy.traefik_cmd to yours.'
        )
    return [os.path.abspath(found), *(os.path.abspath(w) if "/" in w and os.path.exists(w) else w for w in command[1:])]


async def installed_version(command: Sequence[str]) -> str:
    """The version that ``traefik version`` tells. Raises :class:`TraefikError` when it tells none."""
    try:
        async with asyncio.timeout(_PATIENCE), output_of([*command, "version"]) as output:
            text = await output.readexactly(_LONGEST_ANSWER)
    except asyncio.IncompleteReadError as end:
        text = end.partial
    except TimeoutError as error:
        raise TraefikError(f"{command[0]} cannot be run: it does not end within {_PATIENCE:g} s.") from error
    except OSError as error:
        raise TraefikError(f"{command[0]} cannot be run: {error}.") from error
    match = re.search(r"^Version:\s+(\S+)", text.decode(errors="replace"), re.MULTILINE)
    if not match:
        raise TraefikError(f"'{' '.join(command)} version' tells no version; is it Traefik?")
    return match[1]
