"""HTTP/2 frame by frame (RFC 9113), so that a request can be left half sent."""

from __future__ import annotations

import asyncio
import ssl

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _CONTINUATION = 0, 1, 4, 9
_END_STREAM, _END_HEADERS = 1, 4
_STREAM = 1
#: In the static table of RFC 7541, appendix A.
_METHODS = {"GET": b"\x82", "POST": b"\x83"}
_SCHEMES = {"http": b"\x86", "https": b"\x87"}


class Connection:
    """A connection with one stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scheme: str) -> None:
        self.reader, self.writer = reader, writer
        self._scheme = scheme

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext | None = None) -> Connection:
        """Over TLS with `context`, or else without (h2c, with prior knowledge)."""
        if context:
            context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        return cls(reader, writer, "https" if context else "http")

    def begin(self) -> None:
        self.writer.write(_PREFACE + _frame(_SETTINGS, 0, b"", stream=0))

    def head(self, method: str, path: str, *, ends_head: bool = True, ends_request: bool = False) -> None:
        fields = _METHODS[method] + _SCHEMES[self._scheme] + _literal(4, path) + _literal(1, "127.0.0.1")
        self.writer.write(_frame(_HEADERS, _END_HEADERS * ends_head + _END_STREAM * ends_request, fields))

    def more_head(self) -> None:
        self.writer.write(_frame(_CONTINUATION, 0, b"\x00\x01a\x01b"))

    def body(self, data: bytes, *, is_last: bool = False) -> None:
        self.writer.write(_frame(_DATA, _END_STREAM * is_last, data))

    async def answer(self) -> bytes:
        """The body of the answer, to its end. Raises ``EOFError`` when the connection ends before."""
        received = b""
        while True:
            start = await self.reader.readexactly(9)
            payload = await self.reader.readexactly(int.from_bytes(start[:3], "big"))
            kind, flags = start[3], start[4]
            if kind == _DATA:
                received += payload
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                return received


def _literal(index: int, value: str) -> bytes:
    """A field whose name has that `index` in the static table."""
    return bytes([index, len(value)]) + value.encode()


def _frame(kind: int, flags: int, payload: bytes, *, stream: int = _STREAM) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
