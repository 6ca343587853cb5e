"""Commands that end with us."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers.process import last_words, tied
from servers.programs import ROOT

_PATIENCE = 30.0


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
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise


def reason(log_file: Path) -> str:
    """The last line that a command wrote."""
    return last_words(log_file).splitlines()[-1]
