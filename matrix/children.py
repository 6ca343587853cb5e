"""Commands that end with us."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from servers.process import last_words, tied
from servers.programs import ROOT

_PATIENCE = 60.0


def run(command: Sequence[str], log_file: Path, env: Mapping[str, str] | None = None) -> int:
    """The exit status of `command`, run in the checkout. What it prints goes to `log_file`.

    Ctrl-C ends it, and is raised when it has ended.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            tied(command, "TERM"), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
            start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait()
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and all in its group, as Ctrl-C does; so pytest ends the servers that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def reason(log_file: Path) -> str:
    """The last line that a command wrote."""
    return last_words(log_file).splitlines()[-1]
