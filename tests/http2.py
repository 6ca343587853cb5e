"""Requests over HTTP/2, frame by frame: a client that sends what it is told to (RFC 9113, RFC 7541)."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable

from tests.wire import Reply

#: What a client begins with.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_PATIENCE = 30
_SILENCE = 0.01
_QUESTION = b"all read"
#: How much fits into a frame (SETTINGS_MAX_FRAME_SIZE).
_FRAME = 1 << 14
#: How much Go takes in one, whatever it has said.
_LARGEST = 1 << 20
#: Statuses that have a number of their own in HPACK's static table.
_STATUSES = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
#: The digits in HPACK's Huffman code.
_DIGITS = {
    **{f"{number:05b}": str(number) for number in range(3)},
    **{f"{0x19 + number - 3:06b}": str(number) for number in range(3, 10)},
}
#: An answer that there was none of: the stream was reset, or the connection closed.
REFUSED = Reply(0, "", b"")

Fields = Iterable[tuple[str, str]]


class Http2:
    """A connection. Fields are sent as they are, without regard to what may be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._bodies: dict[int, bytes] = {}
        self._statuses: dict[int, int] = {}
        self._ended: set[int] = set()
        self._next = 1

    @classmethod
    async def connected(cls, port: int, context: ssl.SSLContext | None = None) -> Http2:
        """A connection, over TLS with `context`, or else without, by prior knowledge."""
        if context:
            context.set_alpn_protocols(["h2"])
        connection = cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))
        if context:
            assert connection.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        connection.writer.write(PREFACE)
        connection.resize(0)  # so that the other side names each field in full
        return connection

    def send(self, fields: Fields, body: bytes | None = None, trailers: Fields = (), *, ends: bool = True) -> int:
        """Send a request, and return the number of its stream, which is open still unless it `ends`."""
        stream, self._next = self._next, self._next + 2
        trailers = list(trailers)
        is_last = ends and body is None and not trailers
        self._send_fields(stream, fields, ends=is_last)
        if body is not None:
            self.send_body(stream, body, ends=ends and not trailers)
        if trailers:
            self._send_fields(stream, trailers, ends=True)
        return stream

    def send_body(self, stream: int, body: bytes, *, ends: bool) -> None:
        self._send(_DATA, _END_STREAM if ends else 0, stream, body)

    def resize(self, size: int) -> None:
        """Tell how large a table of fields the other side may keep (SETTINGS_HEADER_TABLE_SIZE)."""
        self._send(_SETTINGS, 0, 0, b"\x00\x01" + size.to_bytes(4, "big"))

    def reset(self, stream: int) -> None:
        """Tell that the answer is not wanted any more (CANCEL)."""
        self._send(_RESET, 0, stream, b"\x00\x00\x00\x08")

    async def reply(self, stream: int) -> Reply:
        """The answer on `stream`, when it is complete; :data:`REFUSED` when there is none.

        Raises :class:`TimeoutError` when nothing comes.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                while stream not in self._ended:
                    await self._read_frame()
        except (ConnectionError, asyncio.IncompleteReadError):
            return REFUSED
        return Reply(self._statuses.get(stream, 0), "", self._bodies.get(stream, b""))

    def begin_head(self, fields: Fields) -> int:
        """Send the first fields of a request without a body, and return the number of its stream."""
        stream, self._next = self._next, self._next + 2
        self._send(_HEADERS, _END_STREAM, stream, packed(fields))
        return stream

    def go_on_with_head(self, stream: int, block: bytes) -> None:
        """Send more fields (CONTINUATION), which are not the last."""
        self._send(_CONTINUATION, 0, stream, block)

    def close(self) -> None:
        self.writer.close()

    def _send_fields(self, stream: int, fields: Fields, *, ends: bool) -> None:
        block, kind, flags = packed(fields), _HEADERS, _END_STREAM if ends else 0
        while len(block) > _FRAME:
            self._send(kind, flags, stream, block[:_FRAME])
            block, kind, flags = block[_FRAME:], _CONTINUATION, 0
        self._send(kind, flags | _END_HEADERS, stream, block)

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.writer.write(frame(kind, flags, stream, payload))

    async def _read_frame(self) -> None:
        head = await self.reader.readexactly(9)
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == _SETTINGS and not flags & _ACK:
            self._send(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self._send(_PING, _ACK, 0, payload)
        elif kind == _GOAWAY:
            raise ConnectionResetError
        elif kind == _DATA:
            self._bodies[stream] = self._bodies.get(stream, b"") + payload
            if payload:
                for number in (0, stream):
                    self._send(_WINDOW, 0, number, len(payload).to_bytes(4, "big"))
        elif kind == _HEADERS and not 100 <= _status(payload) < 200:  # trailers begin with no status
            self._statuses.setdefault(stream, _status(payload))
        elif kind == _RESET:
            self._statuses[stream] = 0
            self._ended.add(stream)
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            self._ended.add(stream)


def fields(
    method: str = "GET", path: str = "/user/alice/", *more: tuple[str, str], scheme: str = "http"
) -> list[tuple[str, str]]:
    """What a well-behaved client sends, and `more`."""
    return [(":method", method), (":scheme", scheme), (":authority", "hub.example"), (":path", path), *more]


async def ask(
    port: int,
    fields: Fields,
    body: bytes | None = None,
    trailers: Fields = (),
    *,
    context: ssl.SSLContext | None = None,
) -> Reply:
    """The answer to one request, on a connection of its own."""
    connection = await Http2.connected(port, context)
    try:
        return await connection.reply(connection.send(fields, body, trailers))
    finally:
        connection.close()


async def pour(port: int, raw: bytes, *, context: ssl.SSLContext | None = None) -> None:
    """Send a client's bytes, all at once, and wait until the other side has read them, or given up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)

    async def is_read() -> None:
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == _GOAWAY or payload == _QUESTION:
                return

    writer.write(raw + frame(_PING, 0, 0, _QUESTION))
    reading = asyncio.ensure_future(is_read())
    try:
        if not (await asyncio.wait([reading], timeout=_SILENCE))[0]:
            # A frame is said to be longer than it is, and the question a part of it. This ends it, and is an error.
            writer.write(bytes(_LARGEST))
        await asyncio.wait_for(reading, _PATIENCE)
        await asyncio.sleep(_SILENCE)  # for the requests to reach the servers
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def packed(fields: Fields) -> bytes:
    """Each field as a literal that is not indexed, its name new, without Huffman's code."""
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def _text(text: str) -> bytes:
    raw = text.encode("latin-1")
    size = len(raw)
    if size < 127:
        return bytes([size]) + raw
    size, prefix = size - 127, b"\x7f"
    while size >= 128:
        prefix, size = prefix + bytes([size % 128 + 128]), size // 128
    return prefix + bytes([size]) + raw


def _status(block: bytes) -> int:
    """The status that a block of fields begins with; 0 when it begins with another field."""
    block = re.sub(rb"^(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f])+", b"", block)  # sizes of the table
    if not block:
        return 0
    if block[0] & 0x80:
        return _STATUSES.get(block[0] & 0x7F, 0)
    # A literal; its name is that of the static table's eighth entry, however it is to be indexed.
    index = block[0] & (0x3F if block[0] & 0x40 else 0x0F)
    if not 8 <= index <= 14:
        return 0
    size, text = block[1] & 0x7F, block[2:]
    if not block[1] & 0x80:
        return int(text[:size])
    bits = "".join(f"{byte:08b}" for byte in text[:size])
    return int("".join(_DIGITS[code] for code in re.findall("000[01]{2}|[01]{6}", bits) if code in _DIGITS))
