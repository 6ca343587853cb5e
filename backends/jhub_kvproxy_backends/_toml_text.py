"""The texts of the table's two files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import tomli_w

from jhub_kvproxy import BackendError, BackendRejected, unflatten

_TRAEFIK = "traefik/"
_FORMAT = 1


class TableText:
    """A table, and its text in both forms, of which only the parts are made again that a change touches."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self._lines: dict[str, str] = {}
        self._elements: dict[str, dict[str, str]] = {}
        self._fragments: dict[str, str] = {}

    def update(self, changes: Mapping[str, str | None]) -> None:
        touched = set()
        for key, value in changes.items():
            element = _element(key)
            if value is None:
                self.keys.pop(key, None)
                self._lines.pop(key, None)
                self._elements.get(element, {}).pop(key, None)
            else:
                self.keys[key] = value
                self._lines[key] = f"{json.dumps(key)}: {json.dumps(value)}"
                self._elements.setdefault(element, {})[key] = value
            touched.add(element)
        for element in touched:
            keys = self._elements.get(element)
            if not keys:
                self._elements.pop(element, None)
                self._fragments.pop(element, None)
            elif element.startswith(_TRAEFIK):
                part = unflatten({key.removeprefix(_TRAEFIK): value for key, value in keys.items()})
                # Traefik runs Go templates over the file; in a basic string this escape is a brace.
                self._fragments[element] = tomli_w.dumps(part).replace("{{", "{\\u007b")

    def replace(self, keys: Mapping[str, str]) -> None:
        """Hold `keys`, and nothing more."""
        changes: dict[str, str | None] = {key: None for key in self.keys if key not in keys}
        changes.update((key, value) for key, value in keys.items() if self.keys.get(key) != value)
        self.update(changes)

    def json(self) -> bytes:
        """The whole table, every key with its value, one a line."""
        lines = ",\n".join(self._lines.values())
        return f'{{"format": {_FORMAT}, "keys": {{\n{lines}\n}}}}\n'.encode()

    def toml(self) -> bytes:
        """What Traefik reads."""
        header = "# Written by jhub-kvproxy from table.json; changes made here are lost.\n\n"
        return (header + "\n".join(self._fragments[element] for element in sorted(self._fragments))).encode()


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


def _element(key: str) -> str:
    """The router, service, ... that `key` is a part of: ``traefik/http/routers/NAME``."""
    return "/".join(key.split("/", 4)[:4])
