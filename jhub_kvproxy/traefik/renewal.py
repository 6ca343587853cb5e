"""Brings renewed certificates to a Traefik that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..aio import Tasks, in_thread
from ..errors import TraefikError
from ..files import write_atomically
from ..notice import Notice
from . import pem
from .launch_files import LaunchFiles

_INTERVAL = 1.0
_REMINDER = 60.0


class Renewal:
    """Keeps a dynamic file of Traefik, and what it names, up to date with the certificates and keys of the admin.

    Traefik's file provider looks at certificates only when a dynamic file changes (pkg/provider/file), and then
    takes them even if they are half written. So the dynamic file holds a copy of them, which is replaced at once,
    after a check.

    `sources` has the file of each option. `render` turns them, in that order, into the files that Traefik reads, the
    dynamic file last, or raises :class:`TraefikError`. They are put into `files` too, which are written when Traefik
    is started again.
    """

    def __init__(
        self,
        sources: Mapping[str, Path],
        render: Callable[[Sequence[pem.File]], Mapping[Path, bytes]],
        files: LaunchFiles,
        log: Any,
    ) -> None:
        self._sources = dict(sources)
        self._render = render
        self._files = files
        self._log = log
        self._cannot_write = Notice(log, _REMINDER)
        self._judged: Sequence[pem.File] | str = ()
        self._rendered: Sequence[pem.File] = ()
        self._tasks = Tasks(log)

    async def load(self) -> None:
        """Put what Traefik reads into `files`. Raises :class:`TraefikError` when the sources cannot be used."""
        found = await in_thread(self._read)
        if isinstance(found, str):
            raise TraefikError(found)
        self._files.update(await in_thread(self._render, found))
        self._judged = self._rendered = found

    def start(self) -> None:
        if self._sources:
            self._tasks.keep(self._watch, "watching the certificates")

    async def close(self) -> None:
        """Stop; nothing is written any more."""
        await self._tasks.close()

    async def _watch(self) -> None:
        before = self._judged
        while True:
            await asyncio.sleep(_INTERVAL)
            found = await in_thread(self._read)
            # A certificate and its key are replaced one after the other.
            if found == before and found != self._judged:
                await self._judge(found)
            before = found

    def _read(self) -> Sequence[pem.File] | str:
        """What is in the files, or why they cannot be read."""
        try:
            return tuple(pem.read(option, path) for option, path in self._sources.items())
        except TraefikError as error:
            return str(error)

    async def _judge(self, found: Sequence[pem.File] | str) -> None:
        try:
            if isinstance(found, str):
                raise TraefikError(found)
            rendered = await in_thread(self._render, found)
            new = {path: content for path, content in rendered.items() if content != self._files.get(path)}
            if new:
                known = {file.content for file in self._rendered}
                await in_thread(self._write, new)
                self._cannot_write.over("The renewed certificate is written now")
                options = [file.option for file in found if file.content not in known]
                self._log.info("Traefik uses what is new in %s", " and ".join(options))
                self._rendered = found
        except TraefikError as error:
            self._log.error("%s Traefik keeps what it has.", error)
        except OSError as error:
            self._cannot_write.wrong("The renewed certificate cannot be written, which is tried again: %s", error)
            return
        self._judged = found

    def _write(self, new: Mapping[Path, bytes]) -> None:
        with self._files.writing:
            _write_all(new)
            self._files.update(new)


def _write_all(files: Mapping[Path, bytes]) -> None:
    for path, content in files.items():
        write_atomically(path, content)
