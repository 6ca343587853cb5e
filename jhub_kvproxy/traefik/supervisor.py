"""The Traefik that we start: found again, started, watched, started again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import tomli_w

from .. import metrics
from ..errors import TraefikError
from ..files import write_atomically
from .api import TraefikAPI
from .dynamic import base_env
from .hang import Hang
from .launch import Launch
from .ports import free_port, is_free
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
    `directory` keeps. No secret is in a file: the API password is read back from the environment of the
    process, and its static configuration from its memory, which the kernel shows to the same user only
    (proc(5)).

    A plain ``Popen``, watched by polling: asyncio's transport kills its child when it is collected
    (``asyncio/base_subprocess.py``), and an adopted process is nobody's child.
    """

    def __init__(self, directory: Path, log: Any) -> None:
        self._directory = directory
        #: For people; what Traefik reads is in memory, behind the link.
        self._static_file = directory / "traefik.toml"
        self._static_link = directory / "traefik-with-secrets.toml"
        self._state_file = directory / "traefik.json"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._born: str | None = None
        self._port = 0
        self._password = ""
        self._api: TraefikAPI | None = None
        self._files: list[Path] = []
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
        self._files = [self._static_file, self._static_link, self._state_file, *self._files_of(launch)]
        try:
            self.is_adopted = await asyncio.to_thread(self._find_running) and await self._adopt(launch)
        except OSError as error:
            raise TraefikError(f"The files that Traefik needs cannot be written: {error}.") from error
        if not self.is_adopted:
            await self._start_new(launch)
        self._watcher = asyncio.create_task(self._watch(launch))

    async def stop(self, *, keep_files: bool = False) -> None:
        """End Traefik, and remove what was written for it, unless others need it. Without a start, do nothing."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None
        await self._end()
        if not keep_files:
            self._remove_files()

    async def end_left(self) -> None:
        """End the Traefik that an earlier hub left here, if it runs, and remove what was written for it."""
        self._files = [self._static_file, self._static_link, self._state_file]
        if await asyncio.to_thread(self._find_running):
            self._log.info("Ending the Traefik with pid %d, one more than KVProxy.local_replicas", self._pid)
            await self._end()
        self._remove_files()

    def _files_of(self, launch: Launch) -> dict[Path, bytes]:
        return {**launch.files, **{self._directory / path: content for path, content in launch.own_files.items()}}

    def _remove_files(self) -> None:
        for path in self._files:
            path.unlink(missing_ok=True)
        ours = {parent for path in self._files for parent in path.parents if parent.is_relative_to(self._directory)}
        for directory in sorted(ours, reverse=True):
            with contextlib.suppress(OSError):  # it may hold what others put there
                directory.rmdir()

    def _write_files(self, files: Mapping[Path, bytes]) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, content in files.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, content)

    async def _adopt(self, launch: Launch) -> bool:
        """Whether the Traefik that was found can be kept; if not, it is ended."""
        if self._running_config() == _render(self._static(launch, launch.secrets)):
            self._log.info("Adopting the running Traefik with pid %d", self._pid)
            await asyncio.to_thread(self._write_files, self._files_of(launch))
            try:
                await self._wait_for_api()
                return True
            except TraefikError as error:
                self._log.warning("%s Replacing it.", error)
        else:
            self._log.info("The Traefik with pid %d runs with an older configuration; replacing it", self._pid)
        await self._end()
        return False

    async def _start_new(self, launch: Launch) -> None:
        await launch.check_ports()
        for attempt in range(1, _START_ATTEMPTS + 1):
            self._set_api(free_port(), secrets.token_urlsafe(32))
            try:
                await self._spawn(launch)
                await self._wait_for_api()
                return
            except OSError as error:
                raise TraefikError(f"The files that Traefik needs cannot be written: {error}.") from error
            except TraefikError:
                await self._end()
                # Another program may have taken the API's port in the meantime.
                if attempt == _START_ATTEMPTS or is_free("127.0.0.1", self._port):
                    raise

    def _static(self, launch: Launch, secrets: Mapping[str, Any]) -> dict[str, Any]:
        return merge(launch.static(f"127.0.0.1:{self._port}", launch.public_port), secrets)

    def _running_config(self) -> bytes | None:
        """The static configuration that the running Traefik read when it started."""
        try:
            return Path(os.readlink(self._static_link).replace("self", str(self._pid))).read_bytes()
        except OSError:
            return None

    async def _spawn(self, launch: Launch) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_TRAEFIK)}
        env |= base_env(API_USER, self._password) | {API_PASSWORD_ENV: self._password}
        static = _render(self._static(launch, {}))
        await asyncio.to_thread(self._write_files, {**self._files_of(launch), self._static_file: static})
        # Traefik reads its static configuration from one place only, so secrets cannot come beside the file
        # in its environment (cmd/traefik/traefik.go, loaders).
        with open(os.memfd_create("traefik"), "w+b") as memory:  # noqa: ASYNC230
            memory.write(_render(self._static(launch, launch.secrets)))
            memory.flush()
            self._static_link.unlink(missing_ok=True)
            self._static_link.symlink_to(f"/proc/self/fd/{memory.fileno()}")
            try:
                # Not in a thread: who cancels us must not leave a process that nobody knows.
                self._process = subprocess.Popen(  # noqa: ASYNC220
                    [*launch.command, self._config_argument],
                    env=env,
                    stdin=subprocess.DEVNULL,
                    cwd=self._directory,
                    pass_fds=[memory.fileno()],
                    start_new_session=True,  # Ctrl-C is for the hub, which then stops Traefik
                )
            except OSError as error:
                raise TraefikError(f"{launch.command[0]} cannot be started: {error}.") from error
        self._pid = self._process.pid
        state = json.dumps({"pid": self._pid, "api_port": self._port}).encode() + b"\n"
        await asyncio.to_thread(self._write_files, {self._state_file: state})
        self._log.info("Started Traefik with pid %d", self._pid)

    @property
    def _config_argument(self) -> str:
        return f"--configFile={self._static_link}"

    async def _wait_for_api(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    await self.api.version(session)
                    return
                except TraefikError as error:
                    if not self._is_running():
                        status = self._process and self._process.returncode
                        raise TraefikError(
                            f"Traefik ended with status {status} as soon as it was started; it wrote why above. "
                            f"Its configuration is {self._static_file}."
                        ) from None
                    if time.monotonic() > deadline:
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
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF)
            try:
                await launch.check_ports()
                # Whoever took the port when Traefik ended was sent the password.
                self._set_api(free_port(), secrets.token_urlsafe(32))
                await self._spawn(launch)
                await self._wait_for_api()
            except (TraefikError, OSError) as error:
                self._log.error("%s", error)

    async def _until_it_ends(self) -> None:
        """Wait until it has ended; one that hangs is ended."""
        hang = Hang(self.api)
        async with aiohttp.ClientSession() as session:
            while self._is_running():
                await asyncio.sleep(_WATCH_INTERVAL)
                if await hang.is_over_limit(session) and self._is_running():
                    self._log.error("Traefik (pid %d) hangs: %s; ending it", self._pid, hang.description)
                    os.kill(self._pid, signal.SIGKILL)

    def _find_running(self) -> bool:
        """Take over the state of a Traefik that an earlier hub started from this directory, if it runs."""
        try:
            state = json.loads(self._state_file.read_bytes())
            pid, port = int(state["pid"]), int(state["api_port"])
            variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        except (OSError, ValueError, LookupError, TypeError):
            return False
        environ = dict(variable.partition("=")[::2] for variable in variables)
        if not self._is_ours(pid) or API_PASSWORD_ENV not in environ:
            return False
        self._process, self._pid, self._born = None, pid, _born(pid)
        self._set_api(port, environ[API_PASSWORD_ENV])
        return True

    def _set_api(self, port: int, password: str) -> None:
        self._port, self._password = port, password
        self.api.move(self._api_url, API_USER, password)

    def _is_ours(self, pid: int) -> bool:
        """Whether `pid` is a Traefik that was started with our configuration file."""
        try:
            # Root could read what any user's process pretends.
            if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
                return False
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self._config_argument) in arguments

    def _is_running(self) -> bool:
        if self._process:
            return self._process.poll() is None
        return self._born is not None and _born(self._pid) == self._born

    async def _end(self) -> None:
        for number, patience in ((signal.SIGTERM, _STOP_TIMEOUT), (signal.SIGKILL, _STOP_TIMEOUT)):
            if not self._is_running():
                return
            os.kill(self._pid, number)
            deadline = time.monotonic() + patience
            while self._is_running() and time.monotonic() < deadline:
                await asyncio.sleep(0.01)


def _render(config: Mapping[str, Any]) -> bytes:
    return tomli_w.dumps(config).encode()


def _born(pid: int) -> str | None:
    """When the process `pid` was started, in kernel ticks, which tells it from a later one; None: it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return None
    # The first thread may be a zombie while others still hold the sockets.
    return None if fields[0] in "ZX" and len(threads) == 1 else fields[19]
