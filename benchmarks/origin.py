"""The origin: what stands for the hub and the users' servers, behind all proxies."""

from __future__ import annotations

import sys
from pathlib import Path

from servers.ports import free_port
from servers.process import Process
from servers.programs import ROOT

from .nginx import Responder
from .routes import ORIGINS


class Origin:
    """Servers that answer with their names, and one that echoes websockets; from construction to :meth:`stop`."""

    def __init__(self, directory: Path) -> None:
        ports = {name: free_port() for name in ORIGINS}
        echo_port = free_port()
        #: The URL of each server, by the name that it answers with.
        self.targets = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self.echo_target = f"http://127.0.0.1:{echo_port}"
        self._responder = Responder(directory, ports)
        command = [sys.executable, "-m", "benchmarks.echo", str(echo_port)]
        self._echo = Process("the websocket echo", command, directory / "echo.log", port=echo_port, cwd=ROOT)
        try:
            self._echo.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._responder.stop()
        self._echo.stop()
