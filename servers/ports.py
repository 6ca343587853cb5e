"""Free ports."""

from __future__ import annotations

import random
import socket

#: Below those that the kernel gives to connections (net.ipv4.ip_local_port_range), which would otherwise take a port
#: between its being found and its being used.
_PORTS = range(15_000, 32_000)
_given_out: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that was not given out before."""
    while True:
        port = random.SystemRandom().choice(_PORTS)  # Hypothesis seeds the other
        if port not in _given_out and is_free(port):
            _given_out.add(port)
            return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
