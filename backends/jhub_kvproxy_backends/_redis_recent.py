"""The last changes of the table, as a stream in Redis: so a watch needs not read the table to know them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jhub_kvproxy import Told

from ._redis_session import Command

#: An entry of the stream for each batch: as many as this, and of this many bytes. A larger one says only that it was.
_ENTRIES, _ENTRY_BYTES = 32, 16 * 1024
_FIELD = b"changes"


def entry(stream: str, changes: Mapping[str, str | None]) -> Command:
    """The command that adds `changes` to the `stream`."""
    is_small = sum(len(key) + len(value or "") for key, value in changes.items()) <= _ENTRY_BYTES
    text = json.dumps(dict(changes), ensure_ascii=False) if is_small else ""
    return ("XADD", stream, "MAXLEN", _ENTRIES, "*", _FIELD, text)


def query(stream: str, last: bytes) -> Command:
    """The command that asks for the entry `last` and those after it; all if `last` is empty."""
    return ("XRANGE", stream, last or b"-", b"+")


def news(reply: Sequence[Any], last: bytes) -> tuple[Told | None, bytes]:
    """What is new in the reply to :func:`query`, and the last entry. None: the entries do not say."""
    newest = reply[-1][0] if reply else b""
    if last:
        if not reply or reply[0][0] != last:
            return None, newest
        reply = reply[1:]
    elif len(reply) >= _ENTRIES:
        return None, newest
    found: dict[str, str | None] = {}
    for _, fields in reply:
        changes = _changes(fields)
        if changes is None:
            return None, newest
        found |= changes
    return found, newest


def _changes(fields: Any) -> dict[str, str | None] | None:
    """The changes in an entry; None if it has none, or was not written by a hub."""
    try:
        name, text = fields if isinstance(fields, list) else next(iter(fields.items()))
        changes = json.loads(text)
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    is_ours = (
        name == _FIELD
        and isinstance(changes, dict)
        and all(value is None or isinstance(value, str) for value in changes.values())
    )
    return changes if is_ours else None
