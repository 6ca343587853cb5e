"""Which addresses the targets of the routes have."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from .sockets import Peer, peer_of

_PORTS = {"http": 80, "https": 443}
_LOOKED_UP_FOR = 300.0
_LOOKUPS_AT_ONCE = 4
_NONE: frozenset[Peer] = frozenset()


class Targets:
    """The far ends of connections to each target, host names looked up every few minutes."""

    def __init__(self) -> None:
        self._peers: dict[str, frozenset[Peer]] = {}
        self._names: dict[str, float] = {}
        self._lookups = asyncio.Semaphore(_LOOKUPS_AT_ONCE)

    def peers(self, target: str) -> frozenset[Peer]:
        """Those of `target`; none as long as its host is not known."""
        return self._peers.get(target, _NONE)

    def keep(self, targets: Iterable[str]) -> None:
        """Forget all but `targets`."""
        kept = set(targets)
        for target in self._peers.keys() - kept:
            del self._peers[target]
            self._names.pop(target, None)

    def learn(self, targets: Iterable[str]) -> list[str]:
        """Take in `targets`; returns those whose names are to be looked up."""
        now = time.monotonic()
        names = []
        for target in targets:
            if target in self._names:
                if self._names[target] + _LOOKED_UP_FOR < now:
                    names.append(target)
            elif target not in self._peers:
                host, port = _host_and_port(target)
                try:
                    self._peers[target] = frozenset([peer_of(host, port)])
                except ValueError:
                    self._peers[target] = _NONE
                    names.append(target)
        return names

    async def look_up(self, target: str) -> None:
        """Find the addresses of a target with a host name; those that were known stay if that fails."""
        host, port = _host_and_port(target)
        async with self._lookups:
            self._names[target] = time.monotonic()
            try:
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                return
        self._peers[target] = frozenset(peer_of(str(address[0]), port) for *_, address in found)


def _host_and_port(target: str) -> tuple[str, int]:
    url = urlsplit(target)
    host = url.hostname or ""
    try:
        # Connections to "any address" go to this machine.
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
    except ValueError:
        pass
    return host, url.port or _PORTS[url.scheme]
