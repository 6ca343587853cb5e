"""What has changed between two looks at the table's file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jhub_kvproxy import difference

from ._toml_text import keys_of_lines, lines_of

Signature = tuple[int, int, int] | None
"""Inode, time and size. They differ from one content to the next: each change makes a new file with a later time."""

_MOST_LOADS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """The table's file at one moment."""

    signature: Signature
    #: A line for each key; None: the file is missing or damaged.
    lines: frozenset[bytes] | None


class TableWatch:
    """What one watch of `file` knows, and what those know who follow it.

    They know what the watch told last, or what they have loaded since: a key that has changed and changed back between
    two looks may be different in either.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last = Look(None, None)
        self._is_told = False
        self._loaded: dict[Signature, Mapping[str, str]] = {}
        self._is_too_much = False
        self._closed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()

    async def rest(self, seconds: float) -> None:
        """Sleep, but not after :meth:`close`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()

    def loaded(self, signature: Signature, keys: Mapping[str, str]) -> None:
        """Somebody was given `keys`, from the file with this signature."""
        self._loaded[signature] = keys
        self._is_too_much |= len(self._loaded) > _MOST_LOADS
        if self._is_too_much:
            self._loaded.clear()

    def look(self) -> tuple[Look, Mapping[str, str | None] | None]:
        """The file now, and what has changed; None: that is not known. To call in a thread."""
        if (signature := signature_of(self._file)) == self._last.signature:
            return self._last, {}
        signature, content = read_signed(self._file)
        try:
            lines = None if content is None else lines_of(content)
        except ValueError:
            lines = None
        return Look(signature, lines), self._changes(signature, lines)

    def _changes(self, signature: Signature, lines: frozenset[bytes] | None) -> Mapping[str, str | None] | None:
        known, loaded, changes = self._is_told, dict(self._loaded), {}
        if lines is None or self._is_too_much or not (known or loaded):
            return None
        if known:
            if self._last.lines is None:
                return None
            changes = dict.fromkeys(keys_of_lines(self._last.lines - lines)) | keys_of_lines(lines - self._last.lines)
        others = loaded.keys() - {signature} - ({self._last.signature} if known else set())
        if others:
            keys = keys_of_lines(lines)
            for other in others:
                changes |= difference(loaded[other], keys)
        return changes

    def tell(self, look: Look, changes: Mapping[str, str | None] | None) -> None:
        """`changes` are told now, with the file as `look` saw it; None: those who follow are to load."""
        self._last, self._is_told = look, changes is not None
        self._loaded, self._is_too_much = {}, False

    def compared(self, look: Look) -> None:
        """Nothing is to be told: `look` found what those who follow know."""
        if look is not self._last:
            self.tell(look, {})

    @property
    def loads(self) -> int:
        """How many have loaded since the last time that the watch told something."""
        return len(self._loaded)


def signature_of(path: Path) -> Signature:
    try:
        return _signature(path.stat())
    except FileNotFoundError:
        return None


def read_signed(path: Path) -> tuple[Signature, bytes | None]:
    """The content of the file and its signature; None for both if there is none."""
    try:
        with path.open("rb") as file:
            return _signature(os.fstat(file.fileno())), file.read()
    except FileNotFoundError:
        return None, None


def _signature(stat: os.stat_result) -> Signature:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
