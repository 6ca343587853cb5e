"""The texts of the table's two files."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import tomli_w

from jhub_kvproxy import (
    BackendError,
    BackendRejected,
    Fragments,
    read_checked,
    unflatten,
    with_checksum,
    without_checksum,
)

from ._toml_lines import Lines

_TRAEFIK = "traefik/"
_FORMAT = 1
_HEAD, _BETWEEN, _TAIL = b'{"format": %d, "keys": {\n' % _FORMAT, b",\n", b"\n},\n"


class TableText:
    """A table and its text in both forms. A change renders only the parts that it touches."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self._lines = Lines(_BETWEEN.decode())
        self._traefik = Fragments(_render)

    @property
    def has_traefik(self) -> bool:
        """Whether the table has keys that Traefik reads."""
        return bool(self._traefik.keys)

    def update(self, changes: Mapping[str, str | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.keys.pop(key, None)
                self._lines.remove(key)
            else:
                self.keys[key] = value
                self._lines.put(key, f"{json.dumps(key)}: {json.dumps(value)}")
        self._traefik.update({key: value for key, value in changes.items() if key.startswith(_TRAEFIK)})

    def json(self) -> bytes:
        """The whole table: each key and its value on a line, and a checksum of all lines above it on the last."""
        return with_checksum(_HEAD + self._lines.text() + _TAIL)

    def toml(self) -> bytes:
        """What Traefik reads."""
        header = "# Written by jhub-kvproxy from table.json; changes made here are lost.\n\n"
        return (header + "\n".join(text for _, text in sorted(self._traefik.texts.items()))).encode()


def parse_table(content: bytes, file: Path) -> tuple[dict[str, str], bool]:
    """The keys in `content`, the text of `file`, and whether it has a checksum, which older releases did not write.

    Raises BackendRejected if it is damaged.
    """
    try:
        table, is_checked = read_checked(content, ("format", "keys"))
        keys, version = table["keys"], table["format"]
        if version != _FORMAT:
            raise BackendRejected(
                f"{file} has format {version!r}, and this jhub-kvproxy reads {_FORMAT}; "
                "upgrade jhub-kvproxy, or move the file away: the Hub then writes its routes anew."
            )
        if not all(type(key) is str and type(value) is str for key, value in keys.items()):
            raise ValueError("a value is not text")
        return dict(keys), is_checked
    except BackendError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        where, edited = f"{file}", ' If somebody has edited it, remove "sha256" and its value.'
        if isinstance(error, json.JSONDecodeError):
            where, edited = f"{file}, line {error.lineno}", ""
        raise BackendRejected(
            f"{where}: the routing table is damaged ({error}). "
            f"Restore it from a backup, or move it away: the Hub then writes its routes anew.{edited}"
        ) from error


def lines_of(content: bytes) -> frozenset[bytes]:
    """A line for each key of the table that has `content` as its text.

    Raises ValueError if it is damaged, or was not written by this release.
    """
    opening = without_checksum(content)
    if not (opening.startswith(_HEAD) and opening.endswith(_TAIL)):
        raise ValueError("it is of another form")
    lines = opening[len(_HEAD) : -len(_TAIL)]
    return frozenset(lines.split(_BETWEEN)) if lines else frozenset()


def keys_of_lines(lines: Collection[bytes]) -> dict[str, str]:
    """The keys and values on some of the lines."""
    keys: dict[str, str] = json.loads(b"{%b}" % _BETWEEN.join(lines))
    return keys


def _render(_: str, keys: Mapping[str, str]) -> str:
    part = unflatten({key.removeprefix(_TRAEFIK): value for key, value in keys.items()})
    # Traefik runs the file through Go templates, which must not see "{{". In TOML, this escape is a brace.
    return tomli_w.dumps(part).replace("{{", "{\\u007b")
