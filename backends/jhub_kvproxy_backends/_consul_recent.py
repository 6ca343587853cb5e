"""The last changes of the table, in one key of Consul: so a watch needs not read the table to know them."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jhub_kvproxy import Told

from ._consul_api import ConsulAPI, Operation, kv, kv_path, parsed
from ._network import Answer

#: The most bytes of the key's value. The oldest changes go first.
MOST_BYTES = 8 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A commit. `changes` is None if it was too large to be told. The `token` is no other commit's."""

    token: str
    changes: Told | None


@dataclass(frozen=True, slots=True)
class Log:
    """The last commits. `gone` says how many there were before."""

    entries: tuple[Entry, ...] = ()
    gone: int = 0

    @property
    def last(self) -> str:
        """The token of the last commit; empty if there was none."""
        return self.entries[-1].token if self.entries else ""

    def since(self, last: str) -> Told | None:
        """What was changed after the commit with the token `last`. None: this log does not say."""
        tokens = [entry.token for entry in self.entries]
        if (last not in tokens) if last else self.gone:
            return None
        changed: dict[str, str | None] = {}
        for entry in self.entries[tokens.index(last) + 1 if last else 0 :]:
            if entry.changes is None:
                return None
            changed |= entry.changes
        return changed

    def added(self, entry: Entry) -> tuple[Log, str]:
        """The log with one entry more, and its text, which has at most :data:`MOST_BYTES`."""
        if _size(entry) > MOST_BYTES // 2:
            entry = Entry(entry.token, None)
        entries, gone = [*self.entries, entry], self.gone
        sizes = [_size(each) + 2 for each in entries]
        while sum(sizes) > MOST_BYTES - 100:
            del entries[0], sizes[0]
            gone += 1
        log = Log(tuple(entries), gone)
        return log, _text({"gone": gone, "entries": [[each.token, each.changes] for each in entries]})


def _size(entry: Entry) -> int:
    return len(_text([entry.token, entry.changes]).encode())


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def log_in(text: bytes) -> Log:
    """The log in `text`; an empty one, of which everything has gone, if that is none of ours."""
    try:
        value = json.loads(text)
        entries = tuple(Entry(str(token), _told(changes)) for token, changes in value["entries"])
        return Log(entries, int(value["gone"]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Log(gone=1)


def _told(changes: Mapping[str, Any] | None) -> dict[str, str | None] | None:
    if changes is None:
        return None
    return {key: None if value is None else str(value) for key, value in changes.items()}


async def read(api: ConsulAPI, key: str, **options: str) -> tuple[int, Log]:
    """The index of `key`, 0 if there is none, and the log in it."""
    answer = await api.ask("GET", kv_path(key), options)
    if answer.status != 200:
        return 0, Log()
    return parsed(answer, lambda said: (int(said[0]["ModifyIndex"]), log_in(base64.b64decode(said[0]["Value"] or ""))))


class Recent:
    """Writes the log in `key`. Each transaction changes it only as we know it: so no commit is missing there."""

    def __init__(self, api: ConsulAPI, key: str) -> None:
        self._api = api
        self._key = key
        #: The key's index; 0 if there is no such key.
        self._index = 0
        self._log = self._next = Log()

    def write(self, changes: Mapping[str, str | None]) -> Operation:
        """The operation that must be the last of the transaction with `changes`."""
        self._next, text = self._log.added(Entry(secrets.token_hex(4), dict(changes)))
        return kv("cas", self._key, text, Index=self._index)

    def made(self, answer: Answer) -> None:
        """Take Consul's answer to a transaction that was made."""
        self._index = parsed(answer, lambda said: int(said["Results"][-1]["KV"]["ModifyIndex"]))
        self._log = self._next

    async def read(self) -> None:
        """Read the key: another writer has changed it."""
        self._index, self._log = await read(self._api, self._key, consistent="")
