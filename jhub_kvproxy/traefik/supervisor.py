"""Keeps a Traefik that we start running: adopts or starts it, watches it, starts it again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from .. import metrics
from ..aio import Backoff, Tasks, in_thread
from ..errors import BackendError, TraefikError
from ..notice import Notice
from ..routing.revision import Revision
from .api import TraefikAPI
from .binary import check_version, installed_version
from .descriptors import Shortage
from .hang import Hang
from .instance import Instance, environment
from .launch import Launch
from .owner import Owner
from .plugin_trial import not_loaded, why_the_plugin_is_not_loaded
from .ports import is_free
from .program import Program
from .running import API_USER
from .runtime import RuntimeDirectory

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 10.0
_WATCH_INTERVAL = 0.2
_FIRST_BACKOFF, _LONGEST_BACKOFF, _STEADY_AFTER = 0.1, 30.0, 60.0
_START_ATTEMPTS = 3
# Between looks at whose Traefik it is, and between tries to write its files.
_OWNER_INTERVAL = _WRITE_INTERVAL = 1.0
_REMINDER = 30.0


class Supervisor:
    """Keeps one Traefik running, from :meth:`start` to :meth:`stop` or :meth:`leave`.

    The process outlives the hub when the hub dies or is told to leave it (``JupyterHub.cleanup_proxy =
    False``), so that users stay connected. The next hub's :meth:`start` finds it by the state file in
    `directory`, and keeps it if it would start the same (docs/adr/0014-another-traefik.md). No secret
    is in a file: the API password is read back from the environment of the process, and its static
    configuration from its memory, which the kernel shows to the same user only (proc(5)).

    It is not a process of asyncio's: their transport kills its child when it is collected
    (``asyncio/base_subprocess.py``), and an adopted process is nobody's child.
    """

    def __init__(self, directory: Path, owner: Owner, log: Any, label: str = "local") -> None:
        self._runtime = RuntimeDirectory(directory)
        self._instance = Instance(self._runtime, owner, log)
        self._owner = owner
        self._log = log
        self._label = label
        self._cannot_write = Notice(log, _REMINDER)
        self._tasks = Tasks(log)
        self._api: TraefikAPI | None = None
        self._stop_timeout = _STOP_TIMEOUT

    @property
    def api(self) -> TraefikAPI:
        """The API of the Traefik that :meth:`start` started or adopted; it moves when that is started again."""
        if self._api is None:
            self._api = TraefikAPI(self._api_url, API_USER, self._instance.api_password, label=self._label)
        return self._api

    @property
    def is_adopted(self) -> bool:
        """Whether the Traefik that runs was there before :meth:`start`."""
        return self._instance.is_adopted

    @property
    def _pid(self) -> int:
        return self._instance.pid

    @property
    def _api_url(self) -> str:
        return f"http://127.0.0.1:{self._instance.api_port}"

    def _move_api(self) -> None:
        self.api.move(self._api_url, API_USER, self._instance.api_password)

    async def start(self, launch: Launch) -> None:
        """Adopt the Traefik that an earlier hub left, or start one; returns when its API answers.

        Raises :class:`~jhub_kvproxy.errors.TraefikError` when that cannot be. Whatever it raises, a Traefik that ran
        before is left alone, unless it was already being replaced.
        """
        self._stop_timeout = launch.draining_seconds + _STOP_TIMEOUT
        try:
            await self._claim()
            await self._find_or(self._start_new, launch)
        except OSError as error:
            raise TraefikError(f"The files that Traefik needs cannot be written: {error}.") from error
        with contextlib.suppress(OSError):  # they do no harm
            await in_thread(self._instance.remove_left)
        self._tasks.keep(lambda: self._watch(launch), "watching Traefik")

    async def _claim(self) -> None:
        """Become the owner of the Traefik that may run here. Raises BackendError, as when another hub has the lease."""
        newest = await in_thread(self._instance.newest_term)
        if newest > self._owner.term:
            await self._owner.outdo(Revision.of_term(newest).text)

    async def _find_or(self, start: Callable[[Launch, Program], Awaitable[None]], launch: Launch) -> None:
        """Adopt the Traefik that runs here, or `start` one. Raises TraefikError, or OSError for its files."""
        program = await self._installed(launch)
        files = [*launch.files, *(self._runtime.path / path for path in launch.local_files)]
        if not (await in_thread(self._instance.find, files) and await self._adopt(launch, program)):
            await start(launch, program)

    async def stop(self, *, keep_files: bool = False) -> None:
        """End Traefik, and remove what was written for it, unless others need it. Without a start, do nothing.

        Both is done even if the caller is cancelled.
        """
        try:
            await self._tasks.close()
        finally:
            await in_thread(self._instance.stop, self._stop_timeout, keep_files=keep_files)

    async def leave(self) -> None:
        """Watch Traefik no more, and let it run."""
        await self._tasks.close()
        self._instance.leave()

    async def end_left(self) -> None:
        """End the Traefik that an earlier hub left here, if it runs, and remove what was written for it."""
        await self._claim()
        if await in_thread(self._instance.find):
            self._log.info("Ending the Traefik with pid %d, one more than KVProxy.local_replicas", self._pid)
        await in_thread(self._instance.stop, _STOP_TIMEOUT)

    async def _installed(self, launch: Launch) -> Program:
        """What would be started now. Raises :class:`TraefikError` when that is no Traefik, or one too old."""
        program = await in_thread(Program.of, launch.command)
        version = await installed_version(launch.command)
        check_version(version, launch.command[0])
        return replace(program, version=version)

    async def _adopt(self, launch: Launch, program: Program) -> bool:
        """Whether the Traefik that was found is kept, where `program` would be started; if not, it is ended."""
        self._move_api()
        why = await self._why_not_adopt(launch, program)
        if not why:
            self._log.info("Adopting the running Traefik with pid %d", self._pid)
            return True
        found = self._instance.program.version
        running = f"Traefik {found}".rstrip()
        by = "" if found == program.version else f" by {program.version}"
        self._log.warning("Replacing %s (pid %d)%s, which ends open connections: %s", running, self._pid, by, why)
        await in_thread(self._instance.end, _STOP_TIMEOUT)
        return False

    async def _why_not_adopt(self, launch: Launch, program: Program) -> str:
        """Why the Traefik that was found is replaced, in words; empty: it is not."""
        found = self._instance.program
        if why := found.difference(program):
            return why
        if not self._instance.api_password:
            return "the kernel hides what it was started with, as for a binary with capabilities (setcap)"
        if why := await in_thread(self._instance.why_another_configuration, launch):
            return why
        await in_thread(self._instance.write, launch)
        try:
            version = await self._wait_for_api()
        except TraefikError as error:
            return str(error).rstrip(".")
        found = replace(found, version=version)
        if why := found.difference(program):
            self._instance.program = found
            return why
        # An older release did not write down all of it.
        known = replace(found, command=program.command, files={**program.files, **found.files})
        await in_thread(self._instance.note, known)
        return ""

    async def _start_new(self, launch: Launch, program: Program) -> None:
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                await self._start_once(launch, program)
                return
            except TraefikError:
                await in_thread(self._instance.end, _STOP_TIMEOUT)
                # Another program may have taken the API's port in the meantime.
                if attempt == _START_ATTEMPTS or is_free("127.0.0.1", self._instance.api_port):
                    raise

    async def _start_once(self, launch: Launch, program: Program) -> None:
        """Start `program`; returns when its API answers."""
        await launch.check_ports()
        await in_thread(self._instance.spawn, launch, program)
        self._move_api()
        version = await self._loaded(launch)
        try:
            # A wrapper may tell the version of another Traefik than it starts.
            check_version(version, "What KVProxy.traefik_cmd starts")
        except TraefikError:
            await in_thread(self._instance.end, _STOP_TIMEOUT)
            raise
        await in_thread(self._instance.note, replace(program, version=version).running_as(self._pid))

    async def _loaded(self, launch: Launch) -> str:
        """Wait until its API answers; the version that it tells. If it ends instead, the error says what is known."""
        try:
            return await self._wait_for_api()
        except TraefikError as error:
            if self._instance.is_running() or not launch.local_files:
                raise
            why = await why_the_plugin_is_not_loaded(launch.command, self._runtime.path, environment())
            if not why:
                raise
            raise not_loaded(why) from error

    async def _wait_for_api(self) -> str:
        """Wait until its API answers; the version that it tells."""
        deadline = time.monotonic() + _START_TIMEOUT
        shortage = Shortage(self._pid, self._log)
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    return await self.api.version(session)
                except TraefikError as error:
                    if not self._instance.is_running():
                        await in_thread(self._instance.last_words)
                        raise TraefikError(
                            f"Traefik ended{self._with_status} as soon as it was started; it wrote why above. "
                            "A field that it did not find is misspelt in KVProxy.extra_static_config, or in "
                            "KVProxy.acme_resolver. "
                            f"Its configuration is {self._runtime.static_file}."
                        ) from None
                    if time.monotonic() > deadline and not await shortage.explains_silence():
                        raise TraefikError(
                            f"Traefik (pid {self._pid}) did not serve its API within {_START_TIMEOUT:g} s: {error}; "
                            "if it wrote an error above, look there and at KVProxy.extra_dynamic_config."
                        ) from None
                await asyncio.sleep(0.02)

    @property
    def _with_status(self) -> str:
        status = self._instance.status
        return "" if status is None else f" with status {status}"

    async def _watch(self, launch: Launch) -> None:
        """Start Traefik again whenever it has ended, unless it belongs to another hub."""
        backoff = Backoff(_FIRST_BACKOFF, _LONGEST_BACKOFF)
        while True:
            started = time.monotonic()
            await self._until_it_ends()
            if await in_thread(self._instance.is_anothers):
                await self._until_it_is_ours()
                await self._bring_back(launch, backoff)
                continue
            if time.monotonic() - started > _STEADY_AFTER:
                backoff.reset()
            metrics.TRAEFIK_RESTARTS.inc()
            self._log.error(
                "Traefik (pid %d) ended%s; starting it again in %g s", self._pid, self._with_status, backoff.next
            )
            await self._bring_back(launch, backoff)

    async def _bring_back(self, launch: Launch, backoff: Backoff) -> None:
        """Find Traefik or start it again, until it runs or belongs to another hub."""
        pause = backoff.grow()
        while True:
            await asyncio.sleep(pause)
            if await in_thread(self._instance.is_anothers):
                return
            try:
                await self._find_or(self._start_once, launch)
            except OSError as error:
                self._cannot_write.wrong("Traefik cannot be started, which is tried again each second: %s", error)
                pause = _WRITE_INTERVAL
            except Exception as error:  # whatever it is, users wait for a Traefik
                if self._instance.is_running():
                    self._log.error("%s", error)
                    return
                self._log.error("%s Trying again in %g s.", error, backoff.next)
                pause = backoff.grow()
            else:
                self._cannot_write.over("The files that Traefik needs can be written again")
                return

    async def _until_it_is_ours(self) -> None:
        """Wait until no other hub has it, or this one has the lease again."""
        self._log.warning(
            "Another hub or agent has taken over Traefik (pid %d): it is left alone until it is ours again. Those that "
            "are to run side by side need a KVProxy.runtime_dir each, and not %s.",
            self._pid,
            self._runtime.path,
        )
        while await in_thread(self._instance.is_anothers):
            await asyncio.sleep(_OWNER_INTERVAL)
            with contextlib.suppress(BackendError):
                await self._claim()

    async def _until_it_ends(self) -> None:
        """Wait until it has ended, or another hub has it; one that hangs is ended."""
        hang = Hang(self.api, self._pid, self._log)
        looked = 0.0
        async with aiohttp.ClientSession() as session:
            while self._instance.is_running():
                await asyncio.sleep(_WATCH_INTERVAL)
                hangs = await hang.is_over_limit(session)
                if hangs or time.monotonic() - looked >= _OWNER_INTERVAL:
                    looked = time.monotonic()
                    if not await in_thread(self._instance.is_still_ours):
                        return
                if hangs and self._instance.is_running():
                    self._log.error("Traefik (pid %d) hangs: %s; ending it", self._pid, hang.description)
                    self._instance.kill()
