"""The plugin's source, which Traefik interprets: where it looks for it, and under which name."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

#: Its name in Traefik's configuration.
PLUGIN = "kvproxy"
_MODULE = "kvproxy.local/kvroute"
#: Below Traefik's working directory (pkg/plugins/plugins.go, localGoPath).
_PLACE = Path("plugins-local", "src")


@cache
def module_name() -> str:
    """The module's name. It has a hash of the source in it, so that other source makes another configuration."""
    digest = hashlib.sha256()
    for name, content in sorted(_source().items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return f"{_MODULE}-{digest.hexdigest()[:12]}"


def plugin_files() -> dict[Path, bytes]:
    """The files, by their path below Traefik's working directory."""
    module = module_name()
    place = _PLACE / module
    # The name stands in the two files that describe the module (Go's and Traefik's), and in no other.
    return {place / name: text.replace(_MODULE.encode(), module.encode()) for name, text in _source().items()}


def plugin_static() -> dict[str, Any]:
    """The part of Traefik's static configuration that loads it."""
    return {
        "experimental": {
            # By default Traefik would run on without the plugin, and answer 404 to all.
            "abortOnPluginFailure": True,
            "localPlugins": {PLUGIN: {"moduleName": module_name()}},
        }
    }


@cache
def _source() -> dict[str, bytes]:
    return {
        entry.name: entry.read_bytes()
        for entry in files(__package__).joinpath("plugin").iterdir()
        if entry.name in ("go.mod", ".traefik.yml")
        or (entry.name.endswith(".go") and not entry.name.endswith("_test.go"))
    }
