"""Units for systemd, as systemd reads them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from servers.programs import find


def complaints(directory: Path, unit: str) -> str:
    """What systemd says against `unit` with its drop-ins, which are in `directory`; empty: it takes all of it."""
    # The colon at the end: then those of the system, such as network-online.target.
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{directory}:", "SYSTEMD_COLORS": "0"}
    command = [find("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", unit]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    said = f"{result.stdout}{result.stderr}"
    return said if said or not result.returncode else f"status {result.returncode}"
