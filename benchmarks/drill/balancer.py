"""HAProxy in front of the Traefiks: it forwards TCP, and logs the Traefik of each connection."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from servers.ports import free_port
from servers.process import Process
from servers.programs import find

from .replicas import Replica

# A Traefik that has no table yet does not answer this path with 200.
_CONFIG = """
global
    log stdout format raw local0
    nbthread 1
    maxconn 4000

defaults
    mode tcp
    log global
    log-format "session %cp %Ts.%ms %s %ts"
    retries 3
    option redispatch 1
    timeout connect 2s
    timeout check 1s
    timeout client 1h
    timeout server 1h

frontend users
    bind 127.0.0.1:{port}
    default_backend traefiks

backend traefiks
    balance leastconn
    option httpchk GET {path}
    http-check expect status 200
    default-server inter 500ms fastinter 200ms downinter 200ms fall 2 rise 1
{servers}
"""


@dataclass(frozen=True, slots=True)
class Session:
    """A connection that has ended: when it began (seconds since the epoch), and its Traefik."""

    began: float
    server: str


class Balancer:
    """HAProxy on :attr:`port`, from its construction to :meth:`stop`."""

    def __init__(self, replicas: Sequence[Replica], directory: Path) -> None:
        self.port = free_port()
        # An agent knows whether its Traefik serves the newest table; a Traefik without one knows whether it has any.
        path = "/readyz" if replicas[0].agent else "/_chp_healthz"
        servers = "\n".join(
            f"    server {one.process.name} 127.0.0.1:{one.port} check port {one.agent_port or one.port}"
            for one in replicas
        )
        config = directory / "haproxy.cfg"
        config.write_text(_CONFIG.format(port=self.port, servers=servers, path=path))
        self._log = directory / "haproxy.log"
        self._process = Process("HAProxy", [find("haproxy"), "-db", "-f", str(config)], self._log, port=self.port)
        self._process.launch()

    async def wait(self) -> None:
        """Wait until it accepts connections."""
        await asyncio.to_thread(self._process.wait)

    def sessions(self) -> Sessions:
        """All connections that have ended."""
        return Sessions(self._log.read_text(errors="replace"))

    def stop(self) -> None:
        self._process.kill()


class Sessions:
    """The Traefik of each connection, from HAProxy's log."""

    def __init__(self, log: str) -> None:
        self._by_port: dict[int, list[Session]] = defaultdict(list)
        for line in log.splitlines():
            words = line.split()
            if words[:1] == ["session"] and len(words) == 5:
                self._by_port[int(words[1])].append(Session(float(words[2]), words[3]))
        for sessions in self._by_port.values():
            sessions.sort(key=lambda session: session.began)

    def server(self, port: int, when: float) -> str:
        """The Traefik of the connection from our `port` that was open at `when` (seconds since the epoch); "": none."""
        sessions = self._by_port.get(port, [])
        # HAProxy rounds to milliseconds.
        place = bisect_right([session.began for session in sessions], when + 0.001)
        return sessions[place - 1].server if place else ""
