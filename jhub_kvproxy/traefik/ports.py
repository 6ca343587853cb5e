"""TCP ports: which are free, and why one is not."""

from __future__ import annotations

import errno
import socket

from ..errors import TraefikError
from ..resolver import listening_addresses


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens on the IPv4 address `host` and `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


async def check_free(
    host: str, port: int, option: str = "JupyterHub.bind_url", who: str = "Traefik", host_option: str = ""
) -> None:
    """Raises :class:`TraefikError` when `who` could not listen there, which `option` demands.

    `host_option` is what sets the host, if that is another option.
    """
    where = f"port {port} of {host or 'this machine'}"
    try:
        addresses = await listening_addresses(host, port)
    except OSError as error:
        raise TraefikError(f"{who} cannot listen on {where}: {error}. Set {host_option or option}.") from error
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                continue
            why = {
                errno.EADDRINUSE: f"another program listens there; end it, or choose another port with {option}",
                errno.EACCES: "only root may; allow it with setcap cap_net_bind_service=+ep on Traefik's binary, "
                f"or choose a port above 1023 with {option}",
                errno.EADDRNOTAVAIL: f"this machine has no such address; choose another with {host_option or option}",
            }.get(error.errno or 0, f"{error}. Look at {option}")
            raise TraefikError(f"{who} cannot listen on {where}: {why}.") from error
