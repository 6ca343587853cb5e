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
    """`changes` to a store that holds `stored`, by router, service or record: what is new or changes; then what goes.

    For changes that may be of any size: another routing, the repair of what is damaged, or a route that moves many
    others in the tree. Of what is new, routers below others come before those: Traefik serves none of them until the
    topmost come, and then each with all that is below it; and of those the ones that match the longest paths. Routers
    that change move under new ones next, those of short paths first. What goes is last, in the order of its length. So
    a router that is to be replaced, or to be moved, is served until that is done.
    """
    there = set(map(element_of, stored))
    after = {key: value for key, value in {**stored, **changes}.items() if value is not None}
    kept = set(map(element_of, after))
    elements: dict[str, Changes] = {}
    for key, value in changes.items():
        elements.setdefault(element_of(key), {})[key] = value
    new = sorted(elements.keys() - there, key=lambda element: (*_rank(element, after), element), reverse=True)
    changed = sorted(elements.keys() & there & kept, key=lambda element: (*_rank(element, after), element))
    gone = sorted(elements.keys() - kept, key=lambda element: (*_rank(element, stored), element))
    return [elements[element] for element in new + changed], [elements[element] for element in gone]


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
