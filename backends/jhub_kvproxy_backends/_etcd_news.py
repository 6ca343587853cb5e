"""What etcd says on the stream of a watch. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

#: Keys as etcd has them, each with its new value, or None if it is gone.
Changed = Mapping[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class News:
    """One message of the stream. `changed` are keys of commits up to `revision`, which is 0 if there are none."""

    changed: Changed
    revision: int
    #: The store's revision when etcd sent the message; 0 in the last one.
    now: int
    #: Whether the next message belongs to the same commits.
    has_more: bool = False
    #: Why etcd ended the watch; empty if it did not.
    end: str = ""
    #: Whether it ended because etcd no longer has all changes.
    is_compacted: bool = False


def news_in(line: bytes) -> News:
    """What `line` says. Raises ValueError if that is no message of etcd's."""
    try:
        return _news_in(json.loads(line))
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no message of a watch: {line[:100]!r}") from error


def joined(first: News, second: News) -> News:
    """Both, of which the second ends what the first began."""
    return replace(second, changed={**first.changed, **second.changed}, revision=max(first.revision, second.revision))


def told(changed: Changed, below: bytes, *, without: Collection[bytes]) -> dict[str, str | None]:
    """`changed` as text, and without the names' first part, `below`; raises UnicodeDecodeError."""
    return {
        key[len(below) :].decode(): None if value is None else value.decode()
        for key, value in changed.items()
        if key not in without
    }


def _news_in(message: Mapping[str, Any]) -> News:
    if "error" in message:
        error = message["error"]
        return News({}, 0, 0, end=str(error.get("message", error)))
    result = message["result"]
    if result.get("canceled"):
        is_compacted = int(result.get("compact_revision", 0)) > 0
        return News({}, 0, 0, end=str(result.get("cancel_reason") or "no reason given"), is_compacted=is_compacted)
    now = int(result["header"]["revision"])
    changed: dict[bytes, bytes | None] = {}
    revision = 0
    for event in result.get("events", ()):
        kv = event["kv"]
        is_gone = event.get("type") == "DELETE"
        changed[base64.b64decode(kv["key"])] = None if is_gone else base64.b64decode(kv.get("value", ""))
        revision = max(revision, int(kv["mod_revision"]))
    return News(changed, revision, now, has_more=bool(result.get("fragment")))
