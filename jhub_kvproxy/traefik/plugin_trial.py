"""Finds out whether a Traefik can load our plugin, for when it ended as soon as it was started."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterable, Mapping, Sequence
from pathlib import Path

import tomli_w

from ..errors import TraefikError
from .commands import output_of
from .plugin_files import plugin_static

_PATIENCE = 15.0
_LOADED = "Plugins loaded"
_STATIC = {
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "log": {"level": "INFO", "noColor": True},
    "entryPoints": {"none": {"address": "127.0.0.1:0"}},
}


async def why_the_plugin_is_not_loaded(command: Sequence[str], directory: Path, env: Mapping[str, str]) -> str:
    """Why a Traefik that is started in `directory`, with the environment `env`, does not load our plugin.

    Empty: it loads the plugin, or says nothing within 15 s. That Traefik has ended then.
    """
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(tomli_w.dumps({**plugin_static(), **_STATIC}).encode())
        file.flush()
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                output_of([*command, f"--configFile={file.name}"], cwd=directory, env=env) as output,
            ):
                return await _reason(output)
        except (OSError, ValueError):  # TimeoutError too; ValueError: a line without end
            return ""


async def _reason(lines: AsyncIterable[bytes]) -> str:
    async for line in lines:
        text = line.decode(errors="replace").rstrip()
        if _LOADED in text:
            break
        if why := plugin_error(text):
            return why
    return ""


def plugin_error(line: str) -> str:
    """Why Traefik does not load our plugin, if `line` of its log says so. Pure."""
    if "plugin" in line and (error := re.search(r' ERR .*error="(.*)"$', line)):
        return error[1].rpartition("failed to create plugin builder: ")[2].replace('\\"', '"')
    return ""


def not_loaded(why: str) -> TraefikError:
    return TraefikError(
        f"Traefik ended at once: it cannot load our plugin ({why}). Use a Traefik that "
        'pip install "jhub-kvproxy[traefik]" brings, or set KVProxy.delivery = "store".'
    )
