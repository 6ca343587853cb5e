"""In which order a table changes, so that Traefik never loses a route. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..routing.changes import Changes
from ..routing.records import TRAEFIK

ROUTERS = f"{TRAEFIK}http/routers/"


def element_of(key: str) -> str:
    """The router, service, ... that `key` is a part of: ``traefik/http/routers/NAME``."""
    return "/".join(key.split("/", 4)[:4])


def stages(changes: Changes, stored: Mapping[str, str]) -> tuple[list[Changes], list[Changes]]:
    """`changes` to a store that holds `stored`, by router, service or record: what is new, and then what goes.

    For changes that may be of any size: another routing, or the repair of what is damaged. Of what is new, routers
    below others come before those: Traefik serves none of them until the topmost come, and then each with all that is
    below it; and of those the ones that match the longest paths. What goes is in the opposite order. So old and new
    routers, whose names differ, stand side by side in between.
    """
    new: dict[str, Changes] = {}
    gone: dict[str, Changes] = {}
    for key, value in changes.items():
        (gone if value is None else new).setdefault(element_of(key), {})[key] = value
    after = {**stored, **{key: value for key, value in changes.items() if value is not None}}
    return (
        [new[element] for element in sorted(new, key=lambda element: _rank(element, after), reverse=True)],
        [gone[element] for element in sorted(gone, key=lambda element: _rank(element, stored))],
    )


def _rank(element: str, keys: Mapping[str, str]) -> tuple[float, int]:
    """Lower for what is served in the place of others when these are missing."""
    priority = keys.get(f"{element}/priority", "")  # which others may have damaged
    return _depth(element, keys), int(priority) if priority.isdecimal() else len(keys.get(f"{element}/rule", ""))


def _depth(element: str, keys: Mapping[str, str], below: frozenset[str] = frozenset()) -> float:
    """How many routers are above this one at most; what is no router counts as deepest."""
    if not element.startswith(ROUTERS):
        return math.inf
    parents = keys.get(f"{element}/parentRefs")
    if not parents or element in below:  # a damaged table may have cycles
        return 0
    return 1 + max(_depth(ROUTERS + parent, keys, below | {element}) for parent in parents.split(","))
