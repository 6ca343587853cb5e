"""The addresses that the targets of routes have."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from ..resolver import lookup
from .sockets import Peer, peer_of

_PORTS = {"http": 80, "https": 443}
_LOOKED_UP_FOR = 300.0
_LOOKUPS_AT_ONCE = 4
_NONE: frozenset[Peer] = frozenset()


class Targets:
    """Knows the addresses of each target. Host names are looked up again every few minutes."""

    def __init__(self) -> None:
        self._peers: dict[str, frozenset[Peer]] = {}
        #: When each target with a host name was looked up last.
        self._names: dict[str, float] = {}
        self._lookups = asyncio.Semaphore(_LOOKUPS_AT_ONCE)

    def peers(self, target: str) -> frozenset[Peer]:
        """The far ends of connections to `target`; none while its host name is not resolved."""
        return self._peers.get(target, _NONE)

    def keep(self, targets: Iterable[str]) -> None:
        """Forget all but `targets`."""
        kept = set(targets)
        for target in self._peers.keys() - kept:
            del self._peers[target]
            self._names.pop(target, None)

    def learn(self, targets: Collection[str]) -> list[str]:
        """Record `targets`; return those whose names must be looked up. Raises ValueError for what is no target."""
        now = time.monotonic()
        for target in targets:
            if target not in self._peers:
                host, port = _host_and_port(target)
                try:
                    self._peers[target] = frozenset([peer_of(host, port)])
                except ValueError:
                    self._peers[target] = _NONE
                    self._names[target] = float("-inf")
        return [target for target in targets if self._names.get(target, now) + _LOOKED_UP_FOR < now]

    async def look_up(self, target: str) -> None:
        """Resolve the host name of `target`. If that fails, the addresses that were known stay."""
        host, port = _host_and_port(target)
        async with self._lookups:
            self._names[target] = time.monotonic()
            try:
                found = await lookup(host)
            except OSError:
                return
        self._peers[target] = frozenset(peer_of(address, port) for address in found)


def _host_and_port(target: str) -> tuple[str, int]:
    url = urlsplit(target)
    host = url.hostname or ""
    try:
        # Connections to "any address" go to this machine.
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
    except ValueError:
        pass
    if url.scheme not in _PORTS:
        raise ValueError(f"{target!r} is not the URL of a server")
    return host, url.port or _PORTS[url.scheme]
