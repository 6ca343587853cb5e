"""The texts of the table's two files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import tomli_w

from jhub_kvproxy import BackendError, BackendRejected, Fragments, unflatten

from ._toml_lines import Lines

_TRAEFIK = "traefik/"
_FORMAT = 1


class TableText:
    """A table, and its text in both forms, of which only the parts are made again that a change touches."""

    def __init__(self) -> None:
        self._lines = Lines(",\n")
        self._fragments = Fragments(_render)

    @property
    def keys(self) -> Mapping[str, str]:
        return self._fragments.keys

    def update(self, changes: Mapping[str, str | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self._lines.remove(key)
            else:
                self._lines.put(key, f"{json.dumps(key)}: {json.dumps(value)}")
        self._fragments.update(changes)

    def json(self) -> bytes:
        """The whole table, every key with its value, one a line."""
        return b'{"format": %d, "keys": {\n%b\n}}\n' % (_FORMAT, self._lines.text())

    def toml(self) -> bytes:
        """What Traefik reads."""
        header = "# Written by jhub-kvproxy from table.json; changes made here are lost.\n\n"
        texts = self._fragments.texts
        return (header + "\n".join(texts[element] for element in sorted(texts) if texts[element])).encode()


def parse_table(content: bytes, file: Path) -> dict[str, str]:
    """The keys that stand in `content`, the text of `file`. Raises BackendRejected."""
    try:
        table = json.loads(content)
        keys, version = table["keys"], table["format"]
        if version != _FORMAT:
            raise BackendRejected(
                f"{file} has format {version!r}, and this jhub-kvproxy reads {_FORMAT}; "
                "upgrade jhub-kvproxy, or move the file away: the Hub then writes its routes anew."
            )
        if not all(type(key) is str and type(value) is str for key, value in keys.items()):
            raise ValueError("a value is not text")
        return dict(keys)
    except BackendError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise BackendRejected(
            f"{file}, line {line}: the routing table is damaged ({error}). "
            "Restore it from a backup, or move it away: the Hub then writes its routes anew."
        ) from error


def _render(element: str, keys: Mapping[str, str]) -> str:
    if not element.startswith(_TRAEFIK):
        return ""
    part = unflatten({key.removeprefix(_TRAEFIK): value for key, value in keys.items()})
    # Traefik runs Go templates over the file; in a basic string this escape is a brace.
    return tomli_w.dumps(part).replace("{{", "{\\u007b")
