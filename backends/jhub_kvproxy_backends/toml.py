"""The routing table in files: the default, for one machine."""

from __future__ import annotations

import asyncio
import fcntl
import grp
import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from traitlets import Float, Unicode

from jhub_kvproxy import (
    Backend,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    Batch,
    Snapshot,
    difference,
    write_atomically,
)

from ._lease_file import LeaseFile
from ._one_thread import OneThread, StillBusy
from ._toml_text import TableText, parse_table

T = TypeVar("T")

# Seconds beyond `timeout`, so that a lock that is held is reported as such.
_GRACE = 1.0
_LOCK_INTERVAL = 0.005
_WATCH_INTERVAL = 0.25
# Inode, time and size. They differ from one content to the next: each change makes a new file with a later time.
_Signature = tuple[int, int, int] | None


class TomlBackend(Backend):
    """Keeps the table in ``<path>/<prefix>/``.

    ``table.json``
        The table: each key and its value on a line, and a checksum on the last. Replacing this file commits a batch.
    ``traefik/routes.toml``
        What Traefik reads: the keys below ``traefik/``. It is made from ``table.json``, and made again when it is
        missing or differs. A commit that leaves no such keys removes it.
    ``lease``
        Who may write, and until when, if a writer asked for a lease.
    ``lock``
        Locked (``flock``) by whoever reads or changes these files.
    """

    contract = 2
    provider = "file"
    lists_at_once = True

    path = Unicode(
        "kvproxy-table",
        config=True,
        help="""
        Directory of the routing table, relative to the Hub's working directory. The Hub makes it.

        Each `KVProxy.prefix` has a directory of its own in it. With `KVProxy.delivery = "store"`, a Traefik that
        you start yourself reads `<path>/<prefix>/traefik` with its file provider. Use a local disk.
        """,
    )
    group = Unicode(
        config=True,
        help="""
        Name of a group that may read the files for Traefik. By default, only the Hub's user may.

        Set it if Traefik runs as another user. Existing files and directories keep their group and mode.
        """,
    )
    timeout = Float(
        10.0,
        config=True,
        help="Seconds that reading or writing the table may take, including the wait for other writers.",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._text = TableText()
        self._seen: tuple[_Signature, _Signature] | None = None
        self._made: list[Path] = []
        self._lease = LeaseFile(self.directory / "lease")
        self._thread = OneThread()

    @property
    def directory(self) -> Path:
        """The directory of our prefix. No other prefix has the same one, or one inside it."""
        return Path(self.path).absolute() / self.root

    @property
    def table_file(self) -> Path:
        return self.directory / "table.json"

    @property
    def traefik_file(self) -> Path:
        return self.directory / "traefik" / "routes.toml"

    async def open(self) -> None:
        await self._in_turn(self._make_directories)

    async def close(self) -> None:
        try:
            await self.release_lease()
        except BackendError as error:
            self.log.warning("The lease cannot be given up, so it expires by itself. %s", error)

    async def apply(self, batch: Batch) -> None:
        await self._in_turn(lambda: self._apply(batch.changes))

    async def load(self) -> Snapshot:
        return Snapshot(await self._in_turn(self._load))

    async def watch(self) -> AsyncGenerator[None]:
        """Checks the table's file each quarter of a second."""
        thread = OneThread()
        seen = await self._in_thread(thread, lambda: _signature(self.table_file))
        yield
        while True:
            now = await self._in_thread(thread, lambda: _signature(self.table_file))
            if now == seen:
                await asyncio.sleep(_WATCH_INTERVAL)
            else:
                seen = now
                yield

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        await self._in_turn(lambda: self._acquire_lease(holder, ttl))

    async def release_lease(self) -> None:
        await self._in_turn(self._release_lease)

    async def remove(self) -> None:
        await self._in_turn(self._remove)

    def traefik_provider_config(self) -> dict[str, Any]:
        return {"file": {"directory": str(self.traefik_file.parent), "watch": True}}

    def traefik_provider_secrets(self) -> dict[str, Any]:
        return {}

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """Do `work` on the files after all earlier calls have ended."""
        return await self._in_thread(self._thread, work)

    async def _in_thread(self, thread: OneThread, work: Callable[[], T]) -> T:
        """Run `work` off the event loop, for as long as `timeout` allows, and translate its errors."""
        try:
            return await thread.run(work, self.timeout + _GRACE)
        except StillBusy as error:
            raise BackendUnavailable(
                f"An earlier call still uses {self.directory}, and has not ended within {self.timeout:g} s; "
                "is its disk healthy? If it is slow, raise TomlBackend.timeout."
            ) from error
        except TimeoutError as error:
            raise BackendUnavailable(
                f"{self.directory} did not answer within {self.timeout:g} s; is its disk healthy? "
                "If it is slow, raise TomlBackend.timeout."
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
                self._made += reversed([path for path in (directory, *directory.parents) if not path.exists()])
                directory.mkdir(parents=True, exist_ok=True)
                directory.chmod(0o750 if self.group else 0o700)
                if self.group:
                    os.chown(directory, -1, self._group_id)
        with self._locked():
            for leftover in self.directory.glob(".*.tmp"):  # of a writer that was killed
                leftover.unlink()

    def _remove(self) -> None:
        if self.directory.is_dir():
            with self._locked():
                shutil.rmtree(self.directory)
        self._forget()
        for directory in reversed(self._made):
            with suppress(OSError):  # another prefix is in it now
                directory.rmdir()

    @property
    def _group_id(self) -> int:
        if not self.group:
            return -1
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            raise BackendRejected(f"TomlBackend.group = {self.group!r}: this machine has no such group.") from None

    def _acquire_lease(self, holder: str, ttl: float) -> None:
        with self._locked():
            self._lease.acquire(holder, ttl)

    def _release_lease(self) -> None:
        if not self._lease.is_wanted:
            return
        try:
            with self._locked():
                self._lease.release()
        except FileNotFoundError:  # the directory has been removed
            self._lease.forget()

    def _load(self) -> dict[str, str]:
        with self._locked():
            self._refresh()
            return dict(self._text.keys)

    def _apply(self, changes: Mapping[str, str | None]) -> None:
        with self._locked():
            self._lease.check()
            self._refresh()
            changes = {key: value for key, value in changes.items() if self._text.keys.get(key) != value}
            if not changes:
                return
            self._text.update(changes)
            try:
                self._write_table_file()
                if not self._needs_traefik_file:
                    self.traefik_file.unlink(missing_ok=True)
                elif any(key.startswith("traefik/") for key in changes):
                    self._write_traefik_file()
            except BaseException:
                self._forget()
                raise
            self._seen = self._signatures()

    def _forget(self) -> None:
        """Forget what was read: the next call reads the files again."""
        self._text = TableText()
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
        """Read the files again if others have changed them."""
        if self._seen == (seen := self._signatures()):
            return
        if self._seen is None or seen[0] != self._seen[0]:
            content = _read(self.table_file)
            keys, is_checked = ({}, True) if content is None else parse_table(content, self.table_file)
            self._text.update(difference(self._text.keys, keys))
            if not is_checked:  # an older release wrote it, or an admin
                self._write_table_file()
        # A file that is not needed stays until the next commit. If the table was lost, Traefik still has its routes.
        if self._needs_traefik_file and self._text.toml() != _read(self.traefik_file):
            self.log.warning("%s did not match the table; wrote it again", self.traefik_file)
            self._write_traefik_file()
        self._seen = self._signatures()

    def _signatures(self) -> tuple[_Signature, _Signature]:
        return _signature(self.table_file), _signature(self.traefik_file)

    def _write_table_file(self) -> None:
        # A temporary file in Traefik's directory would make Traefik read all files again, several times.
        before = _signature(self.table_file)
        write_atomically(self.table_file, self._text.json(), temp_dir=self.directory)
        after = _signature(self.table_file)
        if before and after and after[1] <= before[1]:
            # The kernel's clock may tick only every 4 ms, and the new file may have the inode of an older one.
            os.utime(self.table_file, ns=(before[1] + 1, before[1] + 1))

    @property
    def _needs_traefik_file(self) -> bool:
        # Keep a link that an admin made: Traefik may read its target.
        return self._text.has_traefik or self.traefik_file.is_symlink()

    def _write_traefik_file(self) -> None:
        mode = 0o640 if self.group else 0o600
        write_atomically(self.traefik_file, self._text.toml(), mode=mode, group=self._group_id, temp_dir=self.directory)
        if self.traefik_file.is_symlink():
            # Traefik watches the directory of the link, so something must change there.
            os.utime(self.traefik_file, follow_symlinks=False)


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
