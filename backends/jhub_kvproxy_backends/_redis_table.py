"""The table in Redis: its keys, and the commands that read and change it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from redis.exceptions import ResponseError

from jhub_kvproxy import BackendRejected

from . import _redis_recent as recent
from ._redis_session import Command, Session

_TRAEFIK = "traefik/"
# No key of the core's begins with a slash.
_FORMAT_FIELD, _FORMAT = b"/format", b"1"
_CHUNK = 500


class Table:
    """The table below `root` in the database `db`.

    ``<root>/table``
        A hash with all keys and their values. So one command reads the table as it is at one moment, and nobody needs
        to search the database.
    ``<root>/table.recent``
        A stream with the last changes, for whoever watches the table.
    ``<root>/traefik/...``
        What Traefik reads: a string for each such key.
    ``<root>/format``
        The version of this layout. It stays when the table has no keys.
    """

    def __init__(self, root: str, db: int) -> None:
        self.root = root
        self._db = db
        self.table = f"{root}/table"
        #: The names of all keys that Traefik reads begin with this.
        self.traefik = f"{root}/traefik"
        self.recent = f"{root}/table.recent"
        #: The names of all keys of a watch's interest begin with this: one prefix, so that one message has all of them.
        self.watched_prefix = f"{root}/t"
        self._format = f"{root}/format"
        self._keys = {self.table.encode(), self.recent.encode()}
        barrier = f"{root}/barrier"
        #: After these commands, earlier changes that watch `watched` fail.
        self.barrier_commands: Sequence[Command] = (("SET", barrier, ""), ("DEL", barrier))
        self.watched = (self.table, barrier)
        #: Removes the rest of a table that has no keys.
        self.removal: Command = ("DEL", self.table, self.recent, self._format)

    @property
    def questions(self) -> Sequence[Command]:
        """The commands whose replies say whether there is a table."""
        return ("HGET", self.table, _FORMAT_FIELD), ("EXISTS", self._format)

    def exists(self, session: Session, replies: Sequence[Any]) -> bool:
        """Whether there is a table already, by the `replies` to the questions.

        Raises BackendRejected if it cannot be used.
        """
        version, has_format = replies
        if isinstance(version, ResponseError):
            if "WRONGTYPE" not in str(version):
                raise session.error_for(version)
            raise BackendRejected(
                f"{session.place} has a key {self.table} that is not ours; choose another KVProxy.prefix or database."
            ) from version
        if session.accepted(has_format) and version is None:
            raise BackendRejected(
                f"{session.place} has lost the key {self.table}, which is the table. "
                "Remove the rest, and the Hub writes its routes anew: "
                f"redis-cli -n {self._db} --scan --pattern '{self.root}/*' | xargs redis-cli -n {self._db} del"
            )
        if version not in (None, _FORMAT):
            raise BackendRejected(
                f"{session.place}: the table {self.table} has format {version!r}, and this jhub-kvproxy writes "
                f"{_FORMAT!r}; upgrade jhub-kvproxy, or choose another KVProxy.prefix."
            )
        return version is not None

    def writes(self, changes: Mapping[str, str | None], *, is_new: bool) -> Iterator[Command]:
        """The commands for `changes`; with `is_new`, they make the table, too. Each is short, for quick packing."""
        if is_new:
            yield ("SET", self._format, _FORMAT)
            yield ("HSET", self.table, _FORMAT_FIELD, _FORMAT)
        items = list(changes.items())
        for start in range(0, len(items), _CHUNK):
            part = items[start : start + _CHUNK]
            new = [(key, value) for key, value in part if value is not None]
            gone = [key for key, value in part if value is None]
            if new:
                yield ("HSET", self.table, *(text for pair in new for text in pair))
            if gone:
                yield ("HDEL", self.table, *gone)
            if strings := [text for key, value in new if _is_string(key) for text in (self._name(key), value)]:
                yield ("MSET", *strings)
            if names := [self._name(key) for key in gone if _is_string(key)]:
                yield ("DEL", *names)
        yield recent.entry(self.recent, changes)

    def concerned(self, names: Iterable[bytes]) -> set[bytes]:
        """Those of `names` that are the table's."""
        strings = f"{self.traefik}/".encode()
        return {name for name in names if name in self._keys or name.startswith(strings)}

    def concerns_traefik(self, changes: Mapping[str, str | None]) -> bool:
        """Whether Traefik reads any of `changes`."""
        return any(map(_is_string, changes))

    async def read(self, session: Session) -> dict[str, str]:
        """The table as it is at one moment, with the strings that somebody else has changed as they are now."""
        *replies, reply = await session.try_all([*self.questions, ("HGETALL", self.table)], is_last_long=True)
        self.exists(session, replies)
        words = iter(session.accepted(reply))
        chunks = []
        while found := dict(islice(zip(words, words, strict=True), _CHUNK)):
            found.pop(_FORMAT_FIELD, None)
            chunks.append(found)
            await asyncio.sleep(0)
        await self._update_from_strings(session, chunks)
        keys: dict[str, str] = {}
        for found in chunks:
            try:
                keys.update((key.decode(), value.decode()) for key, value in found.items())
            except UnicodeDecodeError as error:
                raise BackendRejected(
                    f"{session.place}: a value below {self.root}/ is not text ({error}), so the Hub has not "
                    "written it; find and delete it."
                ) from error
            await asyncio.sleep(0)
        return keys

    async def _update_from_strings(self, session: Session, chunks: Sequence[dict[bytes, bytes]]) -> None:
        """Update `chunks` from the strings that Traefik reads, except for those that a commit has changed since."""
        parts = [(keys, [key for key in keys if key.startswith(_TRAEFIK.encode())]) for keys in chunks]
        parts = [(keys, strings) for keys, strings in parts if strings]
        found = await session.ask_all(self._strings(strings) for _, strings in parts)
        for (keys, strings), values in zip(parts, found, strict=True):
            different = [key for key, value in zip(strings, values, strict=True) if value != keys[key]]
            if different:
                await self._update_different(session, keys, different)

    async def _update_different(self, session: Session, keys: dict[bytes, bytes], different: list[bytes]) -> None:
        await session.begin([])
        fields, values = await session.commit([("HMGET", self.table, *different), self._strings(different)]) or ([], [])
        for key, field, value in zip(different, fields, values, strict=True):
            if value is None and field is not None:
                del keys[key]
            elif value != field:
                keys[key] = value

    def _strings(self, keys: Sequence[bytes]) -> Command:
        """The command that reads the strings of `keys`."""
        root = f"{self.root}/".encode()
        return ("MGET", *(root + key for key in keys))

    def _name(self, key: str) -> str:
        return f"{self.root}/{key}"


def _is_string(key: str) -> bool:
    return key.startswith(_TRAEFIK)
