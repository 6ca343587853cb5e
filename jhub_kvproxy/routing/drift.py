"""How a store that somebody else changed differs from the table, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..words import counted
from .changes import Changes
from .records import RECORDS

_NAMED = 5


def in_words(drift: Changes, stored: Mapping[str, str]) -> str:
    """What `drift`, the changes that repair a store which holds `stored`, does to it."""
    records = [key for key in drift if key.startswith(RECORDS)]
    groups = {
        "puts back": [key for key in records if drift[key] is not None and key not in stored],
        "corrects": [key for key in records if drift[key] is not None and key in stored],
        "removes": [key for key in records if drift[key] is None],
    }
    parts = [f"{verb} {_routes(keys)}" for verb, keys in groups.items() if keys]
    return f"{', '.join(parts) or 'keeps all routes'}; {len(drift)} keys in all"


def _routes(keys: list[str]) -> str:
    names = [key.removeprefix(RECORDS) for key in keys[:_NAMED]]
    more = ", ..." if len(keys) > _NAMED else ""
    return f"{counted(len(keys), 'route')} ({', '.join(names)}{more})"
