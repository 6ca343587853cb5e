"""Which options are secrets, by their names, and the environment variables of options."""

from __future__ import annotations

import re
from typing import Any

from traitlets import TraitType

_SECRET = re.compile(r"(password|passphrase|token|secret)s?$", re.IGNORECASE)
_VARIABLE = re.compile(r"environment variable\s+`*([A-Z][A-Z0-9_]+)")


def is_secret(name: str) -> bool:
    """Whether the option `name` is a secret."""
    return _SECRET.search(name) is not None


def variable_of(option: TraitType[Any, Any]) -> str | None:
    """The environment variable that the default of `option` comes from, according to its help."""
    found = _VARIABLE.search(option.help)
    return found[1] if found else None
