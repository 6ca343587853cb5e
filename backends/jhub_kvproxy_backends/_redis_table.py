"""The table in Redis: its keys, and the commands that read and change it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from redis.exceptions import ResponseError

from jhub_kvproxy import BackendRejected

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
        self._format = f"{root}/format"
        barrier = f"{root}/barrier"
        #: After these commands, earlier changes that watch `watched` fail.
        self.barrier_commands: Sequence[Command] = (("SET", barrier, ""), ("DEL", barrier))
        self.watched = (self.table, barrier)
        #: Removes the rest of a table that has no keys.
        self.removal: Command = ("DEL", self.table, self._format)

    async def exists(self, session: Session) -> bool:
        """Whether there is a table already. Raises BackendRejected if it cannot be used."""
        version = await session.try_to("HGET", self.table, _FORMAT_FIELD)
        if isinstance(version, ResponseError):
            if "WRONGTYPE" not in str(version):
                raise session.error_for(version)
            raise BackendRejected(
                f"{session.place} has a key {self.table} that is not ours; choose another KVProxy.prefix or database."
            ) from version
        if version is None and await session.ask("EXISTS", self._format):
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

    def concerns_traefik(self, changes: Mapping[str, str | None]) -> bool:
        """Whether Traefik reads any of `changes`."""
        return any(map(_is_string, changes))

    async def read(self, session: Session) -> dict[str, str]:
        """The table as it is at one moment, with the strings that somebody else has changed as they are now."""
        await self.exists(session)
        items = iter((await session.ask("HGETALL", self.table, is_long=True)).items())
        keys: dict[str, str] = {}
        while found := dict(islice(items, _CHUNK)):
            found.pop(_FORMAT_FIELD, None)
            await self._update_from_strings(session, found)
            try:
                keys.update((key.decode(), value.decode()) for key, value in found.items())
            except UnicodeDecodeError as error:
                raise BackendRejected(
                    f"{session.place}: a value below {self.root}/ is not text ({error}), so the Hub has not "
                    "written it; find and delete it."
                ) from error
        return keys

    async def _update_from_strings(self, session: Session, keys: dict[bytes, bytes]) -> None:
        """Update `keys` from the strings that Traefik reads, except for those that a commit has changed since."""
        root = f"{self.root}/".encode()
        strings = [key for key in keys if key.startswith(_TRAEFIK.encode())]
        if not strings:
            await asyncio.sleep(0)
            return
        values = await session.ask("MGET", *(root + key for key in strings))
        different = [key for key, value in zip(strings, values, strict=True) if value != keys[key]]
        if not different:
            return
        fields, values = await session.transact(
            [("HMGET", self.table, *different), ("MGET", *(root + key for key in different))]
        ) or ([], [])
        for key, field, value in zip(different, fields, values, strict=True):
            if value is None and field is not None:
                del keys[key]
            elif value != field:
                keys[key] = value

    def _name(self, key: str) -> str:
        return f"{self.root}/{key}"


def _is_string(key: str) -> bool:
    return key.startswith(_TRAEFIK)
