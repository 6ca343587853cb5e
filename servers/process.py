"""Processes: started so that they end with us, ended by their id."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from .errors import Unavailable
from .ports import takes_connections

PATIENCE = 60.0
#: For a question whether a server is ready.
SOON = 2.0
_INTERVAL = 0.01


class Process:
    """A process of `command`, as often as it is started. What it prints goes to the file `log_file`.

    With `port` it is ready when it takes connections there. `death_signal` ends it when we are killed: a frozen
    process heeds only KILL. The ``with`` block starts it, waits until it is ready, and kills it at its end.
    """

    #: The directory with all that it keeps over a restart; None: it keeps nothing, or we do not know.
    data: Path | None = None

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_file: Path,
        *,
        port: int = 0,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        umask: int = -1,
        death_signal: str = "KILL",
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log_file = log_file
        self.port = port
        self._cwd = cwd
        self._env = env
        self._umask = umask
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it is ready. If it does not get ready, it is ended."""
        self.launch()
        try:
            self.wait()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start it without waiting."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                tied(self.command, self._death_signal),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._cwd,
                env=self._env,
                umask=self._umask,
                start_new_session=True,  # Ctrl-C is for us, who then end it
            )

    def wait(self) -> None:
        """Wait until it is ready. Raises Unavailable with its last words if it ends, or takes too long."""
        self.wait_until(self.is_ready)

    def wait_until(self, condition: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait for `condition`, which may raise what networks and answers raise while it does not hold yet."""
        deadline = time.monotonic() + patience
        while not holds(condition):
            if not self.is_running or time.monotonic() > deadline:
                raise Unavailable(f"{self.name} does not come up: {last_words(self.log_file)}")
            time.sleep(_INTERVAL)

    def is_ready(self) -> bool:
        return not self.port or takes_connections(self.port)

    def stop(self) -> None:
        """End it cleanly, or as a crash would if it does not end. Harmless without a start, or twice."""
        if self._process and self.is_running:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it as a crash would. Harmless without a start, or twice."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop it without ending it: it holds its connections, takes new ones, and answers nothing."""
        freeze(self.pid)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """Of all processes that do its work: its own, and those that belong to it."""
        return [self.pid]

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


def tied(command: Sequence[str], death_signal: str = "KILL") -> list[str]:
    """`command` so that the kernel ends it, with `death_signal`, when the thread that started it ends."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", death_signal, *command] if setpriv else list(command)


def holds(condition: Callable[[], bool]) -> bool:
    """Whether `condition` holds; not if it raises what networks and answers raise."""
    try:
        return condition()
    except (OSError, ValueError, LookupError, Unavailable):
        return False


def freeze(pid: int) -> None:
    """Stop a process without ending it; returns when none of its threads does anything any more."""
    os.kill(pid, signal.SIGSTOP)
    while any(_state(pid, thread) not in "TXZ" for thread in os.listdir(f"/proc/{pid}/task")):
        time.sleep(0.001)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, which has not ended."""
    return _state(pid, str(pid)) not in "XZ"


def _state(pid: int, thread: str) -> str:
    try:
        return Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def last_words(log_file: Path) -> str:
    text = log_file.read_text(errors="replace").strip() if log_file.exists() else ""
    return text[-2000:] or "it wrote nothing"
