"""Words for people."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """``1 route``, or ``2 routes``: `thing` is one of them, and its plural ends in s."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
