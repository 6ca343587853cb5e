"""The Traefik of one runtime directory: its process, and the files that stand there for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import threading
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from .. import procfs
from ..errors import TraefikError
from ..notice import Notice
from .dynamic import base_env
from .launch import Launch
from .output import Output
from .owner import Owner
from .ports import free_port
from .process import Process
from .program import Program
from .running import API_PASSWORD_ENV, API_USER, password_of
from .runtime import RuntimeDirectory
from .state import State, relative
from .static import API, merge

_REMINDER = 30.0
# Others' secrets are none of Traefik's business, and some of these would change what it reads.
_NOT_FOR_TRAEFIK = ("JUPYTERHUB_", "JPY_", "CONFIGPROXY_", "KVPROXY_", "TRAEFIK_", "CONSUL_")


class Instance:
    """Finds, starts and ends the Traefik that works in `runtime`.

    Methods that change something block. Call them in a thread that is waited for (:func:`~jhub_kvproxy.aio.in_thread`):
    then no process or file is left that nobody knows of. They wait for each other.
    """

    def __init__(self, runtime: RuntimeDirectory, owner: Owner, log: Any) -> None:
        self._runtime = runtime
        self._owner = owner
        self._log = log
        self._changing = threading.RLock()
        self._process: Process | None = None
        self._output = Output()
        #: What the Traefik that runs was started from.
        self.program = Program()
        #: Whether an earlier hub started it.
        self.is_adopted = False
        #: Where its API is on this machine; that wants the password of API_USER.
        self.api_port = 0
        self.api_password = ""
        #: What we write for it.
        self._files: set[Path] = set()
        #: What an earlier hub wrote, and we may not need any more.
        self._left: set[Path] = set()
        #: What the state file has, as far as we know.
        self._noted: State | None = None
        self._cannot_note = Notice(log, _REMINDER)

    @property
    def pid(self) -> int:
        """That of the Traefik which runs, or ran last; 0: none did."""
        return self._process.pid if self._process else 0

    @property
    def status(self) -> int | None:
        """Its exit status; None: it runs, or we did not start it."""
        return self._process.status if self._process else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.is_running()

    def kill(self) -> None:
        """End it without waiting for its end. This does not block."""
        if self._process:
            self._process.kill()

    def find(self, files: Iterable[Path] = ()) -> bool:
        """Adopt the Traefik that an earlier hub started here, if it runs. `files` are all that we will write for it."""
        with self._changing:
            self._release()
            self._files = {*self._runtime.own_files, *files}
            self._noted = state = State.read(self._runtime.state_file)
            if state:
                self._left = state.files(self._runtime.path)
                if self._take(state):
                    return True
            return any(
                self._take(State(pid, self._api_port_of(pid), Program())) and self._was_lost(state)
                for pid in procfs.pids_with_argument(self._runtime.config_argument)
            )

    def _take(self, state: State) -> bool:
        """Adopt the Traefik that `state` tells of, if it runs."""
        process = Process(state.pid)
        password = password_of(self._runtime, state.pid)
        program = state.program if state.program.files else Program().running_as(state.pid)
        # If it runs now, all this was read from it, and not from another process that had its id.
        if password is None or not process.is_running():
            process.close()
            return False
        self._process, self.program, self.is_adopted = process, program, True
        self.api_port, self.api_password = state.api_port, password
        return True

    def _was_lost(self, state: State | None) -> bool:
        """Say why the Traefik that was found is not the one that the state file tells of."""
        file = self._runtime.state_file
        why = "tells of another" if state else "is damaged" if file.exists() else "is gone"
        self._log.warning("Traefik (pid %d) runs with our configuration, though %s %s", self.pid, file, why)
        return True

    def _api_port_of(self, pid: int) -> int:
        """The port of the API of the Traefik `pid`, by what it was started with; 0: that cannot be read."""
        try:
            config = tomllib.loads((self._runtime.config_of(pid) or b"").decode())
            return int(config["entryPoints"][API]["address"].rpartition(":")[2])
        except (ValueError, LookupError, TypeError, AttributeError):
            return 0

    def newest_term(self) -> int:
        """The term of the hub that the Traefik here belongs to; 0: of none."""
        state = State.read(self._runtime.state_file)
        return state.term if state else 0

    def is_still_ours(self) -> bool:
        """Whether no hub with a newer term has it; if so, the state file is written again if it is not as it was."""
        with self._changing:
            self._noted = State.read(self._runtime.state_file)
            if self._noted and self._noted.term > self._owner.term:
                return False
            if self.is_running():
                self.note()
            return True

    def is_anothers(self) -> bool:
        """Whether the Traefik here belongs to a hub with a newer term."""
        return self.newest_term() > self._owner.term

    def why_another_configuration(self, launch: Launch) -> str:
        """Why it does not run with the static configuration that `launch` makes, in words; empty: it does."""
        config = self._runtime.config_of(self.pid)
        if config is None:
            return "its configuration cannot be read back"
        return "" if config == _render(self._static(launch, launch.secrets)) else "it runs with an older configuration"

    def spawn(self, launch: Launch, program: Program) -> None:
        """Start `program`, on a port and with a password for its API that no Traefik had before.

        Raises :class:`~jhub_kvproxy.errors.TraefikError`, or OSError when its files cannot be written.
        """
        with self._changing:
            self._release()
            # Whoever took the old port when Traefik ended was sent the old password.
            self.api_port, self.api_password = free_port(), secrets.token_urlsafe(32)
            self.write(launch)
            with contextlib.suppress(OSError):  # nobody reads it but people; the state file is in the same directory
                self._runtime.write({self._runtime.static_file: _render(self._static(launch, {}))})
            child = self._popen(launch)
            self._process, self.program, self.is_adopted = Process(child.pid, child), program, False
            self.note()
            self._log.info("Started Traefik with pid %d", child.pid)

    def write(self, launch: Launch) -> None:
        """Write the files that it reads. Raises OSError."""
        with self._changing, launch.files.writing:
            own = {self._runtime.path / path: content for path, content in launch.local_files.items()}
            self._runtime.write({**launch.files, **own})

    def note(self, program: Program | None = None) -> None:
        """Write down that the Traefik which runs is ours, and `program`, which it was started from.

        If it cannot be written, the log says so, and the next call tries again.
        """
        with self._changing:
            self.program = program or self.program
            written = relative(self._files, self._runtime.path)
            state = State(self.pid, self.api_port, self.program, written, self._owner.term)
            if state == self._noted:
                return
            try:
                self._runtime.write_state(state)
            except OSError as error:
                self._cannot_note.wrong(
                    "Traefik (pid %d) runs, but what the next hub must know of it cannot be written, which is tried "
                    "again: %s. Until then, that hub looks for it among all processes.",
                    self.pid,
                    error,
                )
            else:
                self._noted = state
                self._cannot_note.over(f"{self._runtime.state_file} is written again")

    def end(self, patience: float) -> None:
        """End it, by force after `patience` seconds."""
        with self._changing:
            self.is_adopted = False
            if self._process:
                self._process.end(patience)

    def last_words(self) -> None:
        """Wait until all is shown that a Traefik which has ended wrote."""
        self._output.wait()

    def remove_left(self) -> None:
        """Remove what an earlier hub wrote, and we do not need. Raises OSError."""
        with self._changing:
            self._runtime.remove(self._left - self._files)

    def stop(self, patience: float, *, keep_files: bool = False) -> None:
        """End it, by force after `patience` seconds, and remove what was written for it, unless others need it.

        If it belongs to a hub with a newer term, it is left alone.
        """
        with self._changing:
            is_ours = not self.is_anothers()
            if is_ours:
                self.end(patience)
                self.last_words()
            elif self._process:
                self._log.warning("Traefik (pid %d) belongs to another hub, which took over, and runs on", self.pid)
            self.leave()
            if keep_files or not is_ours or self.is_anothers():
                return
            try:
                self._runtime.remove(self._files | self._left)
            except OSError as error:
                self._log.warning(
                    "Files that were written for Traefik in %s cannot be removed: %s", self._runtime.path, error
                )

    def leave(self) -> None:
        """Let it run on, for the next hub to find. This does not block."""
        self._release()
        self._runtime.close()

    def _release(self) -> None:
        if self._process:
            self._process.close()

    def _popen(self, launch: Launch) -> subprocess.Popen[bytes]:
        env = environment() | base_env(API_USER, self.api_password) | {API_PASSWORD_ENV: self.api_password}
        config = _render(self._static(launch, launch.secrets))
        with self._runtime.in_memory(config) as memory, self._output.begin() as stdout:
            try:
                return subprocess.Popen(
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

    def _static(self, launch: Launch, secrets: Mapping[str, Any]) -> dict[str, Any]:
        return merge(launch.static(f"127.0.0.1:{self.api_port}", launch.public_port), secrets)


def environment() -> dict[str, str]:
    """The environment that a Traefik of ours inherits."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_TRAEFIK)}


def _render(config: Mapping[str, Any]) -> bytes:
    return tomli_w.dumps(config).encode()
