"""The origin: stands in for the hub and the users' servers behind all proxies."""

from __future__ import annotations

import sys
from pathlib import Path

from .nginx import Responder
from .processes import Server, free_port
from .routes import ORIGINS
from .tools import ROOT


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
        self._echo = Server("the websocket echo", command, directory / "echo.log", cwd=ROOT)
        try:
            self._echo.wait_for_port(echo_port)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self._responder.stop()
        self._echo.stop()
