"""JSON files that tell when they are damaged: the last value is a checksum of all that stands before it. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from typing import Any

_NAME = "sha256"
_END = re.compile(rb'"sha256": "([0-9a-f]{64})"\}\n')
_LENGTH = len('"sha256": ""}\n') + 64


def with_checksum(opening: bytes) -> bytes:
    """The JSON object that begins with `opening`, which ends behind a comma, with its checksum and the end."""
    return b'%b"sha256": "%b"}\n' % (opening, _digest(opening))


def read_checked(content: bytes, names: Collection[str]) -> tuple[dict[str, Any], bool]:
    """The JSON object that :func:`with_checksum` made, without the checksum, and whether it has one.

    An object without a checksum may be an older release's, whose values had `names` and no others. Raises ValueError
    or RecursionError for anything else: the file is damaged.
    """
    end = _END.fullmatch(content, max(0, len(content) - _LENGTH))
    if end and end[1] != _digest(content[: end.start()]):
        raise ValueError("its checksum does not fit its content")
    data = json.loads(content)
    if not isinstance(data, dict):
        raise ValueError("it is no JSON object")
    if end:
        del data[_NAME]
    elif unknown := data.keys() - set(names):
        raise ValueError(f"{min(unknown)!r} is not a name in it")
    return data, bool(end)


def without_checksum(content: bytes) -> bytes:
    """What :func:`with_checksum` was given. Raises ValueError if `content` has no checksum, or is damaged."""
    end = _END.fullmatch(content, max(0, len(content) - _LENGTH))
    if end is None or end[1] != _digest(memoryview(content)[: end.start()]):
        raise ValueError("its checksum does not fit its content")
    return content[: end.start()]


def _digest(text: bytes | memoryview) -> bytes:
    return hashlib.sha256(text).hexdigest().encode()
