"""Changes cut into batches that a store takes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..routing.changes import Changes


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


def cut(stages: Iterable[Iterable[Changes]], limits: Limits) -> Iterator[Changes]:
    """The changes of all `stages`, in that order, in batches within `limits`.

    What stands together in `stages` stays together, unless it alone is over the limits. No batch has changes of two
    stages.
    """
    for elements in stages:
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


def cut_anywhere(changes: Changes, limits: Limits) -> Iterator[Changes]:
    """`changes` in batches within `limits`, where it does not matter which come first."""
    return cut([[{key: value} for key, value in changes.items()]], limits)


def only_removes(part: Changes) -> bool:
    return not any(value is not None for value in part.values())
