"""Real Traefiks that no hub starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .process import Process
from .programs import find


class Traefik(Process):
    """A Traefik with this file of static configuration, in the directory of the file: there it looks for plugins."""

    def __init__(
        self, file: Path, *, name: str = "Traefik", port: int = 0, env: Mapping[str, str] | None = None, umask: int = -1
    ) -> None:
        command = [find("traefik"), f"--configFile={file}"]
        environment = {**os.environ, **(env or {})}
        log_file = file.with_suffix(".log")
        super().__init__(name, command, log_file, port=port, cwd=file.parent, env=environment, umask=umask)
