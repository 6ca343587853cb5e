"""The routing table in files: the default, for one machine."""

from __future__ import annotations

import grp
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar

from traitlets import Float, Unicode

from jhub_kvproxy import (
    Backend,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    Batch,
    LeaseReport,
    Snapshot,
    Told,
    difference,
    write_atomically,
)

from ._lease_file import LeaseFile
from ._one_thread import OneThread, StillBusy
from ._toml_lock import TableLock
from ._toml_text import TableText, parse_table
from ._toml_watch import Signature, TableWatch, read_signed, signature_of

T = TypeVar("T")

# Seconds beyond `timeout`, so that a lock that is held is reported as such.
_GRACE = 1.0
_WATCH_INTERVAL = 0.25


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
        Locked (``flock``) by whoever changes these files. Nobody needs it to read them.
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
        Name of a group that may read the table, and the files for Traefik. By default, only the Hub's user may.

        Set it if Traefik or an agent runs as another user. Existing files and directories keep their group and mode.
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
        self._made: list[Path] = []
        self._forget()
        self._lease = LeaseFile(self.directory / "lease")
        self._lock = TableLock(self.directory)
        self._thread = OneThread()
        self._watches: set[TableWatch] = set()

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
        await self._in_turn(self._find_directory if self.read_only else self._make_directories)

    async def close(self) -> None:
        for watch in self._watches:
            watch.close()
        try:
            await self.release_lease()
        except BackendError as error:
            self.log.warning("The lease cannot be given up, so it expires by itself. %s", error)

    async def apply(self, batch: Batch) -> None:
        self.check_writable()
        await self._in_turn(lambda: self._apply(batch.changes))

    async def load(self) -> Snapshot:
        signature, keys = await self._in_turn(self._load)
        for watch in self._watches:
            watch.loaded(signature, keys)
        return Snapshot(keys)

    async def watch(self) -> AsyncGenerator[Told | None]:
        """Checks the table's file each quarter of a second."""
        thread, watch = OneThread(), TableWatch(self.table_file)
        self._watches.add(watch)
        try:
            look, _ = await self._in_thread(thread, watch.look)
            watch.tell(look, None)
            yield None
            while not watch.is_closed:
                loads = watch.loads
                look, changes = await self._in_thread(thread, watch.look)
                if changes and watch.loads != loads:
                    changes = None  # who has loaded meanwhile may have an older table
                if changes == {}:
                    if watch.loads == loads:
                        watch.compared(look)
                    await watch.rest(_WATCH_INTERVAL)
                else:
                    watch.tell(look, changes)
                    yield changes
            raise BackendUnavailable(f"This hub or agent has closed {self.directory}.")
        finally:
            self._watches.discard(watch)

    async def acquire_lease(self, holder: str, ttl: float) -> None:
        self.check_writable()
        await self._in_turn(lambda: self._acquire_lease(holder, ttl))

    async def release_lease(self) -> None:
        await self._in_turn(self._release_lease)

    async def read_lease(self) -> LeaseReport | None:
        return await self._in_turn(self._read_lease)

    async def remove(self) -> None:
        self.check_writable()
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
            user = "This" if self.read_only else "The Hub's"
            raise BackendRejected(f"{user} user may not use the routing table in {self.directory}: {error}.") from error
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
        self._lock.check_permission()

    def _find_directory(self) -> None:
        if not self.directory.is_dir():
            raise BackendUnavailable(f"There is no {self.directory} yet; the Hub makes it when it starts.")

    def _remove(self) -> None:
        if self.directory.is_dir():
            with self._locked() as workshop:
                for file in (self.table_file, self.traefik_file, self._lease.path):
                    _discard(file, workshop)
                self._lock.discard(workshop)
            for directory in (self.traefik_file.parent, self.directory):
                with suppress(OSError):  # somebody has put files of his own into it
                    directory.rmdir()
        self._lease.forget()
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
        self._lease.request(ttl)  # who has it is told at once, also while the lock is held
        with self._locked() as workshop:
            self._lease.acquire(holder, ttl, workshop, mode=self._file_mode, group=self._group_id)

    def _read_lease(self) -> LeaseReport | None:
        self._find_directory()
        return self._lease.report()

    def _release_lease(self) -> None:
        if not self._lease.is_wanted:
            return
        try:
            with self._locked() as workshop:
                self._lease.release(workshop)
        except FileNotFoundError:  # the directory has been removed
            self._lease.forget()

    def _load(self) -> tuple[Signature, dict[str, str]]:
        """The table, and the signature of its file."""
        self._read()
        if not (self.read_only or self._is_sound()):
            with self._locked() as workshop:
                self._refresh(workshop)
        if self._seen is None:
            self._find_directory()
        return self._seen, dict(self._text.keys)

    def _apply(self, changes: Mapping[str, str | None]) -> None:
        with self._locked() as workshop:
            self._lease.check()
            self._refresh(workshop)
            changes = {key: value for key, value in changes.items() if self._text.keys.get(key) != value}
            if not changes:
                return
            self._text.update(changes)
            is_committed = False
            try:
                self._write_table_file(workshop)
                is_committed = True
                if not self._needs_traefik_file:
                    _discard(self.traefik_file, workshop)
                elif any(key.startswith("traefik/") for key in changes):
                    self._write_traefik_file(workshop)
            except BaseException as error:
                self._forget()
                if isinstance(error, FileNotFoundError) and not is_committed:
                    self._lease.check()  # another may have broken in
                raise

    def _forget(self) -> None:
        """Forget what was read: the next call reads the files again."""
        self._text = TableText()
        self._is_read, self._is_checked = False, True
        #: The table's file that was read, and Traefik's that was found to fit it.
        self._seen: Signature = None
        self._fits: Signature = None

    def _locked(self) -> AbstractContextManager[Path]:
        return self._lock.held(self.timeout, self._may_break_in)

    def _may_break_in(self) -> bool:
        # The target of a link may be on another disk, so that no file can be renamed from the workshop to there.
        files = (self.table_file, self.traefik_file)
        return not (self._lease.is_anothers or any(file.is_symlink() for file in files))

    def _read(self) -> None:
        """Read the table's file again if others have changed it."""
        if self._is_read and signature_of(self.table_file) == self._seen:
            return
        signature, content = read_signed(self.table_file)
        keys, is_checked = ({}, True) if content is None else parse_table(content, self.table_file)
        self._text.update(difference(self._text.keys, keys))
        self._is_read, self._is_checked, self._seen, self._fits = True, is_checked, signature, None

    def _is_sound(self) -> bool:
        """Whether both files are as this release writes them."""
        # A file that is not needed stays until the next commit. If the table was lost, Traefik still has its routes.
        return self._is_checked and (not self._needs_traefik_file or self._traefik_file_fits())

    def _traefik_file_fits(self) -> bool:
        signature = signature_of(self.traefik_file)
        if signature is None or signature != self._fits:
            signature, content = read_signed(self.traefik_file)
            if content != self._text.toml():
                return False
            self._fits = signature
        return True

    def _refresh(self, workshop: Path) -> None:
        """Read the files again if others have changed them, and repair them."""
        self._read()
        if not self._is_checked:  # an older release wrote it, or an admin
            self._write_table_file(workshop)
        if self._needs_traefik_file and not self._traefik_file_fits():
            self.log.warning("%s did not match the table; wrote it again", self.traefik_file)
            self._write_traefik_file(workshop)

    def _write_table_file(self, workshop: Path) -> None:
        self._write(self.table_file, self._text.json(), workshop)
        self._seen, self._is_checked = signature_of(self.table_file), True

    def _write(self, file: Path, content: bytes, workshop: Path) -> None:
        # A temporary file in Traefik's directory would make Traefik read all files again, several times.
        write_atomically(file, content, mode=self._file_mode, group=self._group_id, temp_dir=workshop)

    @property
    def _file_mode(self) -> int:
        return 0o640 if self.group else 0o600

    @property
    def _needs_traefik_file(self) -> bool:
        # Keep a link that an admin made: Traefik may read its target.
        return self._text.has_traefik or self.traefik_file.is_symlink()

    def _write_traefik_file(self, workshop: Path) -> None:
        self._write(self.traefik_file, self._text.toml(), workshop)
        if self.traefik_file.is_symlink():
            # Traefik watches the directory of the link, so something must change there.
            os.utime(self.traefik_file, follow_symlinks=False)
        self._fits = signature_of(self.traefik_file)


def _discard(path: Path, workshop: Path) -> None:
    """Remove `path` if it is there."""
    try:
        os.rename(path, workshop / path.name)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise
