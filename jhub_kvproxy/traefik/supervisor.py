"""The Traefik that we start: found again, started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import tomli_w

from .. import metrics
from ..errors import TraefikError
from . import process
from .api import TraefikAPI
from .binary import check_version, installed_version
from .descriptors import Shortage
from .dynamic import base_env
from .hang import Hang
from .launch import Launch
from .output import Output
from .plugin_trial import why_the_plugin_is_not_loaded
from .ports import free_port, is_free
from .program import Program
from .runtime import RuntimeDirectory
from .state import State, relative
from .static import merge

API_USER = "kvproxy"
API_PASSWORD_ENV = "KVPROXY_API_PASSWORD"

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 10.0
_WATCH_INTERVAL = 0.2
_FIRST_BACKOFF, _LONGEST_BACKOFF, _STEADY_AFTER = 0.1, 30.0, 60.0
_START_ATTEMPTS = 3
# Others' secrets are none of Traefik's business, and some of these would change what it reads.
_NOT_FOR_TRAEFIK = ("JUPYTERHUB_", "JPY_", "CONFIGPROXY_", "KVPROXY_", "TRAEFIK_", "CONSUL_")


class Supervisor:
    """Keeps one Traefik running, from :meth:`start` to :meth:`stop`.

    The process outlives the hub when the hub dies or is told to leave it (``JupyterHub.cleanup_proxy =
    False``), so that users stay connected; the next hub's :meth:`start` finds it again by the state that
    `directory` keeps, and keeps it if it would start the same (docs/adr/0014-another-traefik.md). No secret
    is in a file: the API password is read back from the environment of the process, and its static
    configuration from its memory, which the kernel shows to the same user only (proc(5)).

    A plain ``Popen``, watched by polling: asyncio's transport kills its child when it is collected
    (``asyncio/base_subprocess.py``), and an adopted process is nobody's child.
    """

    def __init__(self, directory: Path, log: Any) -> None:
        self._runtime = RuntimeDirectory(directory)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._output = Output()
        self._pid = 0
        self._born: str | None = None
        #: What the Traefik that runs was started from.
        self._program = Program()
        self._port = 0
        self._password = ""
        self._api: TraefikAPI | None = None
        #: What we write for it.
        self._files: set[Path] = set()
        #: What an earlier hub wrote, and we may not need any more.
        self._left: set[Path] = set()
        #: Whether :meth:`start` found it running.
        self.is_adopted = False
        self._watcher: asyncio.Task[None] | None = None

    @property
    def api(self) -> TraefikAPI:
        """The API of the Traefik that :meth:`start` started or adopted; it moves when that is started again."""
        if self._api is None:
            self._api = TraefikAPI(self._api_url, API_USER, self._password)
        return self._api

    @property
    def _api_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self, launch: Launch) -> None:
        """Adopt the Traefik that an earlier hub left, or start one; returns when its API answers.

        Raises :class:`~jhub_kvproxy.errors.TraefikError` when that cannot be.
        """
        program = await self._installed(launch)
        self._files = {*self._runtime.own_files, *self._files_for(launch)}
        try:
            # It is left alone if anything fails before it is replaced.
            self.is_adopted = await asyncio.to_thread(self._find_running)
            if self.is_adopted:
                self.is_adopted = await self._adopt(launch, program)
            if not self.is_adopted:
                await self._start_new(launch, program)
        except OSError as error:
            raise TraefikError(f"The files that Traefik needs cannot be written: {error}.") from error
        with contextlib.suppress(OSError):  # they do no harm
            await asyncio.to_thread(self._runtime.remove, self._left - self._files)
        self._watcher = asyncio.create_task(self._watch(launch))

    async def stop(self, *, keep_files: bool = False) -> None:
        """End Traefik, and remove what was written for it, unless others need it. Without a start, do nothing."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None
        await self._end()
        await self._output.ended()
        if not keep_files:
            self._runtime.remove(self._files | self._left)

    async def end_left(self) -> None:
        """End the Traefik that an earlier hub left here, if it runs, and remove what was written for it."""
        if await asyncio.to_thread(self._find_running):
            self._log.info("Ending the Traefik with pid %d, one more than KVProxy.local_replicas", self._pid)
            await self._end()
        self._runtime.remove(self._runtime.own_files | self._left)

    def _files_for(self, launch: Launch) -> dict[Path, bytes]:
        own = {self._runtime.path / path: content for path, content in launch.local_files.items()}
        return {**launch.files, **own}

    async def _installed(self, launch: Launch) -> Program:
        """What would be started now. Raises :class:`TraefikError` when that is no Traefik, or one too old."""
        program = await asyncio.to_thread(Program.of, launch.command)
        version = await installed_version(launch.command)
        check_version(version, launch.command[0])
        return replace(program, version=version)

    async def _adopt(self, launch: Launch, program: Program) -> bool:
        """Whether the Traefik that was found can be kept, where `program` would be started; if not, it is ended."""
        why = await self._why_not_adopt(launch, program)
        if not why:
            self._log.info("Adopting the running Traefik with pid %d", self._pid)
            return True
        running = f"Traefik {self._program.version}".rstrip()
        by = "" if self._program.version == program.version else f" by {program.version}"
        self._log.warning("Replacing %s (pid %d)%s, which ends open connections: %s", running, self._pid, by, why)
        await self._end()
        return False

    async def _why_not_adopt(self, launch: Launch, program: Program) -> str:
        """Why the Traefik that was found is replaced, in words; empty: it is not."""
        if why := self._program.difference(program):
            return why
        if not self._password:
            return "the kernel hides what it was started with, as for a binary with capabilities (setcap)"
        config = await asyncio.to_thread(self._runtime.config_of, self._pid)
        if config is None:
            return "its configuration cannot be read back"
        if config != _render(self._static(launch, launch.secrets)):
            return "it runs with an older configuration"
        await asyncio.to_thread(self._runtime.write, self._files_for(launch))
        try:
            version = await self._wait_for_api()
        except TraefikError as error:
            return str(error).rstrip(".")
        self._program = replace(self._program, version=version)
        if why := self._program.difference(program):
            return why
        # An older release did not write down all of it.
        await self._note(
            replace(self._program, command=program.command, files={**program.files, **self._program.files})
        )
        return ""

    async def _start_new(self, launch: Launch, program: Program) -> None:
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                await self._start_once(launch, program)
                return
            except TraefikError:
                await self._end()
                # Another program may have taken the API's port in the meantime.
                if attempt == _START_ATTEMPTS or is_free("127.0.0.1", self._port):
                    raise

    async def _start_once(self, launch: Launch, program: Program) -> None:
        """Start `program`; returns when its API answers, on a port and with a password that no Traefik had before."""
        await launch.check_ports()
        # Whoever took the old port when Traefik ended was sent the old password.
        self._set_api(free_port(), secrets.token_urlsafe(32))
        await self._spawn(launch, program)
        version = await self._loaded(launch)
        try:
            # A wrapper may start another Traefik than it tells of.
            check_version(version, "What KVProxy.traefik_cmd starts")
        except TraefikError:
            await self._end()
            raise
        await self._note(replace(program, version=version).running_as(self._pid))

    async def _loaded(self, launch: Launch) -> str:
        """Wait until its API answers; the version that it tells. If it ends instead, the error says what is known."""
        try:
            return await self._wait_for_api()
        except TraefikError as error:
            if self._is_running() or not launch.local_files:
                raise
            why = await why_the_plugin_is_not_loaded(launch.command, self._runtime.path, _environment())
            if not why:
                raise
            raise TraefikError(
                f"Traefik ended at once: it cannot load our plugin ({why}). Use a Traefik that "
                'pip install "jhub-kvproxy[traefik]" brings, or set KVProxy.delivery = "store".'
            ) from error

    async def _note(self, program: Program) -> None:
        """Write down that the Traefik that runs was started from `program`."""
        if program != self._program:
            self._program = program
            await asyncio.to_thread(self._write_state)

    def _write_state(self) -> None:
        written = relative(self._files, self._runtime.path)
        self._runtime.write_state(State(self._pid, self._port, self._program, written))

    def _static(self, launch: Launch, secrets: Mapping[str, Any]) -> dict[str, Any]:
        return merge(launch.static(f"127.0.0.1:{self._port}", launch.public_port), secrets)

    async def _spawn(self, launch: Launch, program: Program) -> None:
        env = _environment() | base_env(API_USER, self._password) | {API_PASSWORD_ENV: self._password}
        files = {**self._files_for(launch), self._runtime.static_file: _render(self._static(launch, {}))}
        await asyncio.to_thread(self._runtime.write, files)
        config = _render(self._static(launch, launch.secrets))
        with self._runtime.in_memory(config) as memory, self._output.begin() as stdout:
            try:
                # Not in a thread: who cancels us must not leave a process that nobody knows.
                self._process = subprocess.Popen(  # noqa: ASYNC220
                    [*launch.command, self._runtime.config_argument],
                    env=env,
                    cwd=self._runtime.path,  # where Traefik looks for plugins-local/
                    umask=0o077,  # of a log that it begins anew
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    pass_fds=[memory],
                    start_new_session=True,  # Ctrl-C is for the hub, which then stops Traefik
                )
            except OSError as error:
                raise TraefikError(f"{launch.command[0]} cannot be started: {error}.") from error
        self._pid, self._program = self._process.pid, program
        await asyncio.to_thread(self._write_state)
        self._log.info("Started Traefik with pid %d", self._pid)

    async def _wait_for_api(self) -> str:
        """Wait until its API answers; the version that it tells."""
        deadline = time.monotonic() + _START_TIMEOUT
        shortage = Shortage(self._pid, self._log)
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    return await self.api.version(session)
                except TraefikError as error:
                    if not self._is_running():
                        await self._output.ended()
                        status = self._process and self._process.returncode
                        raise TraefikError(
                            f"Traefik ended with status {status} as soon as it was started; it wrote why above. "
                            f"Its configuration is {self._runtime.static_file}."
                        ) from None
                    if time.monotonic() > deadline and not await shortage.explains_silence():
                        raise TraefikError(
                            f"Traefik (pid {self._pid}) did not serve its API within {_START_TIMEOUT:g} s: {error}; "
                            "if it wrote an error above, look there and at KVProxy.extra_dynamic_config."
                        ) from None
                await asyncio.sleep(0.02)

    async def _watch(self, launch: Launch) -> None:
        backoff = _FIRST_BACKOFF
        while True:
            started = time.monotonic()
            await self._until_it_ends()
            if time.monotonic() - started > _STEADY_AFTER:
                backoff = _FIRST_BACKOFF
            metrics.TRAEFIK_RESTARTS.inc()
            status = "" if self._process is None else f" with status {self._process.returncode}"
            self._log.error("Traefik (pid %d) ended%s; starting it again in %g s", self._pid, status, backoff)
            while True:
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, _LONGEST_BACKOFF)
                try:
                    await self._start_once(launch, await self._installed(launch))
                except Exception as error:  # whatever it is, users wait for a Traefik
                    again = "" if self._is_running() else f" Trying again in {backoff:g} s."
                    self._log.error("%s%s", error, again)
                if self._is_running():
                    break

    async def _until_it_ends(self) -> None:
        """Wait until it has ended; one that hangs is ended."""
        hang = Hang(self.api, self._pid, self._log)
        async with aiohttp.ClientSession() as session:
            while self._is_running():
                await asyncio.sleep(_WATCH_INTERVAL)
                if await hang.is_over_limit(session) and self._is_running():
                    self._log.error("Traefik (pid %d) hangs: %s; ending it", self._pid, hang.description)
                    self._kill(signal.SIGKILL)

    def _find_running(self) -> bool:
        """Take over the state of a Traefik that an earlier hub started from this directory, if it runs."""
        state = State.read(self._runtime.state_file)
        if state is None:
            return False
        self._left = state.files(self._runtime.path)
        if not process.is_ours(state.pid, self._runtime.config_argument):
            return False
        try:
            password = process.environment(state.pid).get(API_PASSWORD_ENV)
        except OSError:
            password = ""  # it is ours, but cannot be used
        if password is None:
            return False
        self._process, self._pid, self._born = None, state.pid, process.born(state.pid)
        self._program = state.program if state.program.files else Program().running_as(state.pid)
        self._set_api(state.api_port, password)
        return True

    def _set_api(self, port: int, password: str) -> None:
        self._port, self._password = port, password
        self.api.move(self._api_url, API_USER, password)

    def _kill(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(self._pid, number)

    def _is_running(self) -> bool:
        if self._process:
            return self._process.poll() is None
        return self._born is not None and process.born(self._pid) == self._born

    async def _end(self) -> None:
        for number, patience in ((signal.SIGTERM, _STOP_TIMEOUT), (signal.SIGKILL, _STOP_TIMEOUT)):
            if not self._is_running():
                return
            self._kill(number)
            deadline = time.monotonic() + patience
            while self._is_running() and time.monotonic() < deadline:
                await asyncio.sleep(0.01)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_TRAEFIK)}


def _render(config: Mapping[str, Any]) -> bytes:
    return tomli_w.dumps(config).encode()
