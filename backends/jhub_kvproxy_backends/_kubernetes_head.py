"""The head of a table: the ConfigMap whose replacement is the commit. Pure.

It holds the fence, the number of the last commit, the names of the bases, and the journal: the commits that are not in
the bases, each under its number.
"""

from __future__ import annotations

import base64
import json
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jhub_kvproxy import Told

from ._kubernetes_names import LABELS

FORMAT = "1"
#: The most bytes of the journal, as base64. It is sent with each commit.
JOURNAL_BYTES = 32 * 1024
#: The most bytes of a base before base64: Kubernetes takes 1 MiB after that.
BASE_BYTES = 700 * 1024
#: Characters of a piece: its keys are compressed together.
_PIECE = 128 * 1024
_COMMIT = "commit-"


@dataclass(frozen=True, slots=True)
class Base:
    """A base in use. A slot is used again, so its uid tells which base is meant."""

    slot: int
    uid: str


@dataclass(frozen=True, slots=True)
class Head:
    """A head. `version` is its resourceVersion, and `fence` says who may write, as "7-1a2b"."""

    uid: str
    version: str
    fence: str = ""
    sequence: int = 0
    bases: tuple[Base, ...] = ()
    journal: Mapping[int, bytes] = field(default_factory=dict)

    def with_commit(self, packed: bytes, fence: str) -> Head:
        number = self.sequence + 1
        return replace(self, fence=fence, sequence=number, journal={**self.journal, number: packed})

    @property
    def turn(self) -> int:
        """The number that the fence begins with: it rises whenever another takes the lease."""
        number = self.fence.partition("-")[0]
        return int(number) if number.isdecimal() else 0

    @property
    def is_full(self) -> bool:
        return sum(_encoded_size(packed) for packed in self.journal.values()) > JOURNAL_BYTES


#: Stands for the head of a table that does not exist.
NOTHING = Head("", "")


def head_in(found: Mapping[str, Any]) -> Head:
    """The head in a ConfigMap. Raises ValueError if there is none that we know."""
    try:
        data = found.get("data") or {}
        if data["format"] != FORMAT:
            raise ValueError(f"its format is {data['format']!r}, and this release knows {FORMAT!r}")
        bases = tuple(Base(int(slot), uid) for slot, uid in (part.split(":") for part in data["bases"].split()))
        journal = {
            int(name.removeprefix(_COMMIT)): base64.b64decode(text, validate=True)
            for name, text in (found.get("binaryData") or {}).items()
        }
        meta = found["metadata"]
        head = Head(meta["uid"], meta["resourceVersion"], data["fence"], int(data["sequence"]), bases, journal)
        if not all(0 < number <= head.sequence for number in journal):
            raise ValueError(f"its sequence is {head.sequence}, and it has commits of other numbers")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lacks {error}") from error
    return head


def body_of(name: str, head: Head) -> dict[str, Any]:
    """The ConfigMap of `head`; it replaces no other version than that of `head`, and never is the same twice."""
    meta = {"name": name, "labels": LABELS} | ({"resourceVersion": head.version} if head.version else {})
    data = {
        "format": FORMAT,
        "fence": head.fence,
        "sequence": str(head.sequence),
        "bases": " ".join(f"{base.slot}:{base.uid}" for base in head.bases),
        "nonce": secrets.token_hex(4),
    }
    journal = {f"{_COMMIT}{number}": base64.b64encode(packed).decode() for number, packed in head.journal.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data, "binaryData": journal}


def base_body(name: str, packed: bytes) -> dict[str, Any]:
    meta = {"name": name, "labels": LABELS}
    content = {"keys": base64.b64encode(packed).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "immutable": True, "metadata": meta, "binaryData": content}


def keys_in_base(found: Mapping[str, Any]) -> dict[str, Any]:
    """The keys in the ConfigMap of a base. Raises ValueError if it is none."""
    try:
        return unpack(base64.b64decode(found["binaryData"]["keys"], validate=True))
    except (KeyError, TypeError) as error:
        raise ValueError(f"it lacks {error}") from error


def pack(keys: Mapping[str, str | None]) -> bytes:
    return b"".join(_pieces(keys.items()))


def unpack(packed: bytes) -> dict[str, Any]:
    """What :func:`pack` was given. Raises ValueError for anything else."""
    keys: dict[str, Any] = {}
    try:
        while packed:
            piece = zlib.decompressobj()
            keys |= json.loads(piece.decompress(packed))
            if not piece.eof:
                raise ValueError("it is cut off")
            packed = piece.unused_data
    except (zlib.error, TypeError, RecursionError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    return keys


def pack_bases(keys: Mapping[str, str]) -> list[bytes]:
    """The contents of as few bases as hold `keys`, each of at most :data:`BASE_BYTES` unless one piece has more."""
    bases: list[list[bytes]] = []
    size = BASE_BYTES
    for piece in _pieces(keys.items()):
        if size + len(piece) > BASE_BYTES:
            bases.append([])
            size = 0
        bases[-1].append(piece)
        size += len(piece)
    return [b"".join(pieces) for pieces in bases]


def _pieces(items: Iterable[tuple[str, str | None]]) -> Iterator[bytes]:
    """`items` as JSON, compressed piece by piece: no piece holds Python's lock for more than some milliseconds."""
    part: dict[str, str | None] = {}
    size = 0
    for key, value in items:
        part[key] = value
        size += len(key) + len(value or "")
        if size > _PIECE:
            yield _piece(part)
            part, size = {}, 0
    if part:
        yield _piece(part)


def _piece(part: Mapping[str, str | None]) -> bytes:
    return zlib.compress(json.dumps(part, separators=(",", ":")).encode())


def table(base: Mapping[str, str], head: Head) -> dict[str, str]:
    """The keys of a table with the keys `base` in its bases. Raises ValueError if the journal is damaged."""
    keys: dict[str, Any] = dict(base)
    for number in sorted(head.journal):
        for key, value in unpack(head.journal[number]).items():
            if value is None:
                keys.pop(key, None)
            else:
                keys[key] = value
    return keys


def news(before: Head, after: Head) -> Told | None:
    """What has changed from one head to another; empty if nothing has. None: they do not say."""
    if after is NOTHING:
        return {} if before.sequence == 0 and not before.bases else None
    if before.uid not in ("", after.uid):
        return None
    if after.sequence == before.sequence:
        return {} if (after.bases, after.journal) == (before.bases, before.journal) else None
    if not 0 < after.sequence - before.sequence <= len(after.journal):
        return None
    changed: dict[str, str | None] = {}
    for number in range(before.sequence + 1, after.sequence + 1):
        if number not in after.journal:
            return None
        try:
            changed |= unpack(after.journal[number])
        except ValueError:
            return None
    return changed


def _encoded_size(packed: bytes) -> int:
    return -(-len(packed) // 3) * 4
