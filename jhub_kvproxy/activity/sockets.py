"""Asks the kernel for the TCP connections that are open, and hears from it of those that close (sock_diag(7))."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Container, Iterator

from ..errors import KVProxyError
from .clock import NEVER, steady

#: The far end of a connection, as the kernel writes it: family, port, address.
Peer = bytes

# linux/sock_diag.h, linux/netlink.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_REQUEST_DUMP = 0x1 | 0x300
_ERROR, _DONE = 2, 3
_CLOSED_IPV4, _CLOSED_IPV6 = 1, 3  # groups of SKNLGRP_*
_WITH_INFO = 1 << (2 - 1)  # the extension INET_DIAG_INFO
_INFO = 2
# Open, or closed by one side only.
_STATES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48x")
_OWNER = struct.Struct("=I")
_ATTRIBUTE = struct.Struct("=HH")
# struct inet_diag_msg: family, the port and address of the far end, the owner.
_PORT, _ADDRESS, _OWNER_AT, _MESSAGE_END = slice(6, 8), slice(24, 40), 64, 72
# struct tcp_info: milliseconds since data was sent, and since it was received.
_SENT_AGO, _RECEIVED_AGO = 44, 52
_MILLISECONDS = struct.Struct("=I")

_BUFFER = 1 << 20
_CHUNK = 1 << 17
_TIMEOUT = 10.0


def peer_of(address: str, port: int) -> Peer:
    """The far end of a connection to `address`, which is an IP address, and `port`."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    ip = mapped or ip
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    return bytes([family]) + port.to_bytes(2, "big") + ip.packed.ljust(16, b"\0")


def use_of(message: memoryview, peers: Container[Peer], owners: Container[int] | None) -> tuple[Peer, float] | None:
    """The peer that an ``inet_diag_msg`` is about, and when (:func:`steady`) data went last, either way.

    None: it is none of `peers`, the connection is none of `owners` (users' ids; None: all), or never carried data.
    """
    peer = bytes(message[:1]) + bytes(message[_PORT]) + bytes(message[_ADDRESS])
    if peer not in peers:
        return None
    if owners is not None and _OWNER.unpack_from(message, _OWNER_AT)[0] not in owners:
        return None
    at = _MESSAGE_END
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _INFO:
            info = at + _ATTRIBUTE.size
            ago = [_MILLISECONDS.unpack_from(message, info + field)[0] for field in (_SENT_AGO, _RECEIVED_AGO)]
            return peer, steady() - min(ago) / 1000
        at += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return None


def open_connections(peers: Container[Peer], owners: Container[int] | None) -> dict[Peer, float]:
    """When each of `peers` had data last on a connection that is open in this network namespace.

    Blocks. Raises :class:`~jhub_kvproxy.errors.KVProxyError` when the kernel does not tell.
    """
    uses: dict[Peer, float] = {}
    with _diag_socket() as diag:
        diag.settimeout(_TIMEOUT)
        for family in (socket.AF_INET, socket.AF_INET6):
            request = _REQUEST.pack(family, socket.IPPROTO_TCP, _WITH_INFO, 0, _STATES)
            length = _HEADER.size + len(request)
            try:
                diag.send(_HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + request)
                for message in _answer(diag):
                    use = use_of(message, peers, owners)
                    if use:
                        uses[use[0]] = max(use[1], uses.get(use[0], NEVER))
            except OSError as error:
                raise _no_answer(error) from error
    return uses


class ClosedConnections:
    """Hears of connections that close, from :meth:`open` to :meth:`close`."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def open(self) -> int:
        """Begin to listen; return a file descriptor that becomes readable when there is news.

        Raises :class:`~jhub_kvproxy.errors.KVProxyError` when the kernel does not tell.
        """
        self._socket = _diag_socket()
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.bind((0, 1 << (_CLOSED_IPV4 - 1) | 1 << (_CLOSED_IPV6 - 1)))
        except OSError as error:
            self.close()
            raise _no_answer(error) from error
        return self._socket.fileno()

    def news(self, peers: Container[Peer], owners: Container[int] | None, limit: int) -> Iterator[tuple[Peer, float]]:
        """What :func:`use_of` tells of connections that have closed since the last call, of `limit` at most."""
        for _ in range(limit):
            try:
                data = memoryview(self._socket.recv(_CHUNK) if self._socket else b"")
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # there were more than fit
            use = use_of(data[_HEADER.size :], peers, owners)
            if use:
                yield use

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


def _answer(diag: socket.socket) -> Iterator[memoryview]:
    while True:
        data, at = memoryview(diag.recv(_CHUNK)), 0
        while at + _HEADER.size <= len(data):
            length, kind = _HEADER.unpack_from(data, at)[:2]
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", data, at + _HEADER.size)[0]
                raise OSError(number, errno.errorcode.get(number, "unknown error"))
            yield data[at + _HEADER.size : at + length]
            at += (length + 3) & ~3


def _diag_socket() -> socket.socket:
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    except (OSError, AttributeError) as error:
        raise _no_answer(error) from error


def _no_answer(error: Exception) -> KVProxyError:
    return KVProxyError(
        f"The kernel does not tell of TCP connections (sock_diag: {error}), which KVProxy.activity needs; allow the "
        "Hub netlink sockets, or set KVProxy.activity to False."
    )
