"""nginx, as what all proxies lead to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from servers.process import Process
from servers.programs import find

BIG = 1 << 20
#: A path that ends so is answered with a body of BIG bytes.
BIG_PATH = "big"


class Responder:
    """Answers every path on each of `ports` with that port's name."""

    def __init__(self, directory: Path, ports: Mapping[str, int]) -> None:
        directory.mkdir(parents=True)
        (directory / "big.bin").write_bytes(bytes(BIG))
        servers = "".join(
            f"""
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                location / {{ return 200 "{name}\\n"; }}
                location ~ /{BIG_PATH}$ {{ rewrite ^ /big.bin break; root {directory}; }}
            }}"""
            for name, port in ports.items()
        )
        config = _configuration(directory, f"default_type text/plain; sendfile on; {servers}")
        command = [find("nginx"), "-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")]
        # nginx takes connections on all ports or on none. Only TERM lets it end its workers.
        port = next(iter(ports.values()))
        self._server = Process("nginx", command, directory / "nginx.log", port=port, death_signal="TERM")
        self._server.start()

    def stop(self) -> None:
        self._server.stop()


def _configuration(directory: Path, http: str) -> Path:
    temporary = "".join(
        f"{name}_temp_path {directory / name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = directory / "nginx.conf"
    config.write_text(
        f"""
        daemon off;
        {"user root;" if os.geteuid() == 0 else ""}
        worker_processes auto;
        pid {directory / "nginx.pid"};
        error_log {directory / "error.log"};
        events {{ worker_connections 8192; }}
        http {{
            access_log off;
            keepalive_requests 1000000;
            {temporary}
            {http}
        }}
        """
    )
    return config
