"""The routing table in files: the default, for one machine."""

from __future__ import annotations

import asyncio
import fcntl
import grp
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from traitlets import Float, Unicode

from jhub_kvproxy import (
    Backend,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    Batch,
    Snapshot,
    unflatten,
    write_atomically,
)

T = TypeVar("T")

_TRAEFIK = "traefik/"
_FORMAT = 1
_LOCK_INTERVAL = 0.005
# Replacing a file gives it a new inode; together these tell one content from the next.
_Signature = tuple[int, int, int] | None


class TomlBackend(Backend):
    """Keeps the table in ``<path>/<prefix>/``.

    ``table.json``
        The table: every key with its value, one a line. Replacing this file is what commits a batch.
    ``traefik/routes.toml``
        What Traefik reads, made from ``table.json``; made again when it is missing or differs.
    ``lock``
        Held (``flock``) by whoever reads or changes them.
    """

    provider = "file"

    path = Unicode(
        "kvproxy-table",
        config=True,
        help="""
        Directory of the routing table; made when missing, relative to the Hub's working directory.

        Each `KVProxy.prefix` has a directory of its own in it. A Traefik that you start yourself
        reads `<path>/<prefix>/traefik` with its file provider. Use a local disk.
        """,
    )
    group = Unicode(
        config=True,
        help="""
        Name of a group that may read what Traefik reads; by default only the Hub's user may.

        For a Traefik that runs as another user. Files and directories that exist keep their group and mode.
        """,
    )
    timeout = Float(
        10.0,
        config=True,
        help="Seconds that reading or writing the table may take, waiting for another writer included.",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._keys: dict[str, str] = {}
        self._lines: dict[str, str] = {}
        self._elements: dict[str, dict[str, str]] = {}
        self._fragments: dict[str, str] = {}
        self._seen: tuple[_Signature, _Signature] | None = None

    @property
    def directory(self) -> Path:
        """This prefix's directory; no other prefix has the same one, or one inside it."""
        return Path(self.path).absolute() / self.root

    @property
    def table_file(self) -> Path:
        return self.directory / "table.json"

    @property
    def traefik_file(self) -> Path:
        return self.directory / "traefik" / "routes.toml"

    async def open(self) -> None:
        await self._in_thread(self._make_directories)

    async def apply(self, batch: Batch) -> None:
        await self._in_thread(lambda: self._apply(batch.changes))

    async def load(self) -> Snapshot:
        return Snapshot(await self._in_thread(self._load))

    def traefik_provider_config(self) -> dict[str, Any]:
        return {"file": {"directory": str(self.traefik_file.parent), "watch": True}}

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run `work` off the event loop, for as long as `timeout` allows, and translate its errors."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(work), self.timeout + 1)
        except TimeoutError as error:
            raise BackendUnavailable(
                f"{self.directory} did not answer within {self.timeout:g} s; is its disk healthy?"
            ) from error
        except PermissionError as error:
            raise BackendRejected(
                f"The Hub's user may not use the routing table in {self.directory}: {error}."
            ) from error
        except OSError as error:
            raise BackendUnavailable(f"The routing table in {self.directory} cannot be used: {error}.") from error

    def _make_directories(self) -> None:
        for directory in (self.directory, self.traefik_file.parent):
            if not directory.is_dir():
                directory.mkdir(parents=True, exist_ok=True)
                directory.chmod(0o750 if self.group else 0o700)
                if self.group:
                    os.chown(directory, -1, self._group_id)
        with self._locked():
            for leftover in self.directory.glob(".*.tmp"):  # of a writer that was killed
                leftover.unlink()

    @property
    def _group_id(self) -> int:
        if not self.group:
            return -1
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            raise BackendRejected(f"TomlBackend.group = {self.group!r}: this machine has no such group.") from None

    def _load(self) -> dict[str, str]:
        with self._locked():
            self._refresh()
            return dict(self._keys)

    def _apply(self, changes: Mapping[str, str | None]) -> None:
        with self._locked():
            self._refresh()
            changes = {key: value for key, value in changes.items() if self._keys.get(key) != value}
            if not changes:
                return
            self._update(changes)
            try:
                self._write_files()
            except BaseException:
                self._forget()
                raise
            self._seen = self._signatures()

    def _forget(self) -> None:
        """Know nothing of the files: the next call reads them."""
        for cache in (self._keys, self._lines, self._elements, self._fragments):
            cache.clear()
        self._seen = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        deadline = time.monotonic() + self.timeout
        with open(self.directory / "lock", "a", opener=_private) as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise BackendUnavailable(
                            f"Another process has held {lock.name} for {self.timeout:g} s; "
                            "find it with fuser, or raise TomlBackend.timeout."
                        ) from None
                    time.sleep(_LOCK_INTERVAL)
            yield

    def _refresh(self) -> None:
        """Take in what others did to the files since we last saw them."""
        if self._seen == (seen := self._signatures()):
            return
        if self._seen is None or seen[0] != self._seen[0]:
            stored = self._read_table()
            changes: dict[str, str | None] = {key: None for key in self._keys if key not in stored}
            changes.update((key, value) for key, value in stored.items() if self._keys.get(key) != value)
            self._update(changes)
        if self._traefik_content() != _read(self.traefik_file):
            if self._keys:
                self.log.warning("%s did not match the table; wrote it again", self.traefik_file)
            self._write_traefik_file()
        self._seen = self._signatures()

    def _signatures(self) -> tuple[_Signature, _Signature]:
        return _signature(self.table_file), _signature(self.traefik_file)

    def _read_table(self) -> dict[str, str]:
        content = _read(self.table_file)
        if content is None:
            return {}
        try:
            table = json.loads(content)
            keys, version = table["keys"], table["format"]
            if version != _FORMAT:
                raise BackendRejected(
                    f"{self.table_file} has format {version!r}, and this jhub-kvproxy reads {_FORMAT}; "
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
                f"{self.table_file}, line {line}: the routing table is damaged ({error}). "
                "Restore it from a backup, or move it away: the Hub then writes its routes anew."
            ) from error

    def _write_files(self) -> None:
        # Temporary files in Traefik's directory would make it read all files again, several times.
        write_atomically(self.table_file, self._table_content(), temp_dir=self.directory)
        self._write_traefik_file()

    def _write_traefik_file(self) -> None:
        mode = 0o640 if self.group else 0o600
        content = self._traefik_content()
        write_atomically(self.traefik_file, content, mode=mode, group=self._group_id, temp_dir=self.directory)
        if self.traefik_file.is_symlink():
            # Traefik watches the directory of the link: let it see that something happened.
            os.utime(self.traefik_file, follow_symlinks=False)

    def _update(self, changes: Mapping[str, str | None]) -> None:
        """Take `changes` into the caches; only the parts that they touch are rendered again."""
        touched = set()
        for key, value in changes.items():
            element = _element(key)
            if value is None:
                self._keys.pop(key, None)
                self._lines.pop(key, None)
                self._elements.get(element, {}).pop(key, None)
            else:
                self._keys[key] = value
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

    def _table_content(self) -> bytes:
        lines = ",\n".join(self._lines.values())
        return f'{{"format": {_FORMAT}, "keys": {{\n{lines}\n}}}}\n'.encode()

    def _traefik_content(self) -> bytes:
        header = "# Written by jhub-kvproxy from table.json; changes made here are lost.\n\n"
        return (header + "\n".join(self._fragments[element] for element in sorted(self._fragments))).encode()


def _element(key: str) -> str:
    """The router, service, ... that `key` is a part of: ``traefik/http/routers/NAME``."""
    return "/".join(key.split("/", 4)[:4])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _signature(path: Path) -> _Signature:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
