"""Paths in what an admin adds to Traefik's configuration. Pure functions.

Traefik works in its runtime directory, where it looks for plugins. A path that an admin writes is relative to the
hub's working directory all the same, as in every other option.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# In lower case: Traefik takes names in any case (Traefik 3.7, pkg/config, pkg/types, pkg/provider).
_ANYWHERE = frozenset(
    {"filepath", "certfile", "keyfile", "cafiles", "rootcas", "usersfile", "cacertificates", "certauthfilepath"}
)
_BELOW = {
    "tls": frozenset({"ca", "cert", "key"}),
    "acme": frozenset({"storage"}),
    "file": frozenset({"directory", "filename"}),
}
#: What is below it is for a plugin.
_PLUGIN = "plugin"


def absolute_paths(config: Mapping[str, Any], base: str, parent: str = "") -> dict[str, Any]:
    """`config`, which stands under `parent`, with paths of files made absolute that are relative to `base`.

    Where Traefik takes a path or the content itself, content stays as it is. So do templates.
    """
    return {key: _absolute(key.lower(), value, base, parent.lower()) for key, value in config.items()}


def _absolute(key: str, value: Any, base: str, parent: str) -> Any:
    if key == _PLUGIN:
        return value
    if isinstance(value, Mapping):
        return absolute_paths(value, base, key)
    is_path = key in _ANYWHERE or key in _BELOW.get(parent, ())
    if isinstance(value, list | tuple):
        return [_absolute(key, each, base, parent) if is_path or isinstance(each, Mapping) else each for each in value]
    return os.path.join(base, value) if is_path and isinstance(value, str) and _is_relative(value) else value


def _is_relative(text: str) -> bool:
    return bool(text) and not text.startswith(("/", "-----BEGIN", "{{")) and "\n" not in text
