"""The file with the last good tables, for an agent that starts while the store is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..aio import Tasks, in_thread
from ..checksum import read_checked, with_checksum
from ..files import write_atomically
from ..notice import Notice
from .hub_table import HubTable, NoTable, read_table

#: Seconds between two writes: a table of 10,000 routes has 2 MB.
_INTERVAL = 5.0
_REMINDER = 300.0
_VERSION = 1


class Cache:
    """Keeps `file` up to date with the tables of the hubs, from :meth:`start` to :meth:`close`.

    Only the agent's user may read it: what routes hold is not for everybody.
    """

    def __init__(self, file: Path, log: Any) -> None:
        self._file = file
        self._log = log
        self._notice = Notice(log, _REMINDER)
        self._tables: dict[str, HubTable] = {}
        self._is_new = False
        self._tasks = Tasks(log)

    async def read(self) -> dict[str, HubTable]:
        """The tables that the file has, by prefix; none if it is missing or damaged, which is logged."""
        try:
            return await in_thread(_read, self._file)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self._log.warning("The cache cannot be read: %s", error)
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            self._log.warning("The cache %s is damaged, and is not used: %s", self._file, error)
        return {}

    def start(self) -> None:
        self._tasks.keep(self._write_again_and_again, "writing the cache")

    def keep(self, prefix: str, table: HubTable) -> None:
        """`table` is the last good one of the hub `prefix`."""
        self._tables[prefix] = table
        self._is_new = True

    async def close(self) -> None:
        """Write what is new, and end."""
        await self._tasks.close()
        await self._write()

    async def _write_again_and_again(self) -> None:
        while True:
            await self._write()
            await asyncio.sleep(_INTERVAL)

    async def _write(self) -> None:
        if not self._is_new:
            return
        self._is_new = False
        keys = {prefix: dict(table.keys) for prefix, table in self._tables.items()}
        try:
            await in_thread(_write, self._file, keys)
        except OSError as error:
            self._is_new = True
            self._notice.wrong("The cache cannot be written, which is tried again: %s", error)
        else:
            self._notice.over("The cache can be written again")


def _write(file: Path, tables: Mapping[str, Mapping[str, str]]) -> None:
    opening = f'{{"version": {_VERSION}, "tables": {json.dumps(tables)}, '
    write_atomically(file, with_checksum(opening.encode()))


def _read(file: Path) -> dict[str, HubTable]:
    data, is_checked = read_checked(file.read_bytes(), ())
    if not is_checked or data.get("version") != _VERSION:
        raise ValueError("it is not of this release")
    found = {}
    for prefix, keys in data["tables"].items():
        try:
            found[prefix] = read_table(keys, HubTable())
        except NoTable as why:
            raise ValueError(f"the table of {prefix!r}: {why}") from why
    return found
