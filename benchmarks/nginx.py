"""nginx, as what all proxies lead to, and as the floor: a proxy with a table that never changes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from .processes import Server
from .routes import Route
from .tools import find

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
        self._server = _start(directory, f"default_type text/plain; sendfile on; {servers}")
        for port in ports.values():
            self._server.wait_for_port(port)

    def stop(self) -> None:
        self._server.stop()


class StaticProxy:
    """A reverse proxy with a location for each route."""

    def __init__(self, directory: Path, port: int, routes: Iterable[Route]) -> None:
        directory.mkdir(parents=True)
        routes = list(routes)
        targets = {
            target: f"origin{number}" for number, target in enumerate(sorted({target for _, target, _ in routes}))
        }
        upstreams = "".join(
            f"upstream {name} {{ server {target.removeprefix('http://')}; keepalive 64; keepalive_requests 100000; }}\n"
            for target, name in targets.items()
        )
        locations = "".join(
            f"location {spec} {{ proxy_pass http://{targets[target]}; }}\n" for spec, target, _ in routes
        )
        self._server = _start(
            directory,
            f"""{upstreams}
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection $upstream_connection;
            map $http_upgrade $upstream_connection {{ default upgrade; "" ""; }}
            proxy_set_header Upgrade $http_upgrade;
            server {{
                listen 127.0.0.1:{port} backlog=4096;
                {locations}
            }}""",
        )
        self._server.wait_for_port(port)

    @property
    def pid(self) -> int:
        return self._server.pid

    def stop(self) -> None:
        self._server.stop()


def _start(directory: Path, http: str) -> Server:
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
    command = [find("nginx"), "-p", str(directory), "-c", str(config), "-e", str(directory / "error.log")]
    return Server("nginx", command, directory / "nginx.log")
