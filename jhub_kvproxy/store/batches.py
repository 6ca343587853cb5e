"""Changes cut into batches that a store takes, in an order in which Traefik never loses a route. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..routing.changes import Changes, element_of
from ..traefik_routers.table import ROUTERS


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch may hold: keys, and bytes of keys and values in UTF-8. None: any number."""

    ops: int | None
    bytes: int | None

    def allow(self, ops: int, size: int) -> bool:
        return (self.ops is None or ops <= self.ops) and (self.bytes is None or size <= self.bytes)


def size_of(changes: Changes) -> int:
    """Bytes of the keys and values, as a batch's limit counts them."""
    return sum(len(key.encode()) + len((value or "").encode()) for key, value in changes.items())


def cut(changes: Changes, stored: Mapping[str, str], limits: Limits) -> Iterator[Changes]:
    """`changes` to a store that holds `stored`, in batches within `limits`.

    For changes that may be of any size: another routing, or the repair of what is damaged. What is new
    comes first, routers below others before those: Traefik serves none of them until the topmost come, and then each
    with all that is below it; and of those the ones that match the longest paths. What goes comes last, the
    other way round. So old and new routers, whose names differ, stand side by side in between. No batch has both.
    """
    for elements in _ordered(changes, stored):
        part: Changes = {}
        size = 0
        for element in elements:
            more = size_of(element)
            if part and not limits.allow(len(part) + len(element), size + more):
                yield part
                part, size = {}, 0
            part |= element
            size += more
        if part:
            yield part


def only_removes(part: Changes) -> bool:
    return not any(value is not None for value in part.values())


def _ordered(changes: Changes, stored: Mapping[str, str]) -> tuple[list[Changes], list[Changes]]:
    """`changes` by router, service or record, in an order that is safe: what is new, and what goes."""
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
