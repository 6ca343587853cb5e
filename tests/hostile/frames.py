"""What a client may say in HTTP/2 (RFC 9113): frames in any order, of any kind and size, whole and broken."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.http2 import PREFACE, fields, frame, packed

#: A request that nobody sends as one, and a line of a head that nobody sends as one.
HIDDEN = b"GET /user/bob/hidden HTTP/1.1\r\nHost: hub.example\r\n\r\n"
INJECTED = "X-Injected: 1"

_HEADERS, _CONTINUATION = 1, 9
_STREAMS = [0, 1, 2, (1 << 31) - 1, 1 << 31]
_BLOCKS = [
    *[packed(fields())] * 3,
    packed(fields("POST", "/user/bob/")),
    packed(fields("POST", "/user/alice/", ("content-length", "5"))),
    packed(fields("GET", f"/user/alice/ HTTP/1.1\r\nHost: x\r\n\r\n{HIDDEN.decode()}")),
    packed(fields("GET", "/user/alice/", ("x-a", f"b\r\n{INJECTED}"))),
    packed(fields("POST", "/user/alice/", ("transfer-encoding", "chunked"))),
    packed(fields("CONNECT")),
    packed(fields("GET", "/user/alice/", ("te", "trailers"), ("trailer", "x-t"), ("expect", "100-continue"))),
    packed([("x-t", "v"), ("content-length", "9")]),
    packed(fields())[:-3],
    # Fields by their numbers, some of which there are not; sizes of the table; a length and a number without end.
    *(b"\x82\x86\x84\x41\x01h", b"\x80", b"\xbe", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x3f\xe1\xff\x03"),
    *(b"\x20" * 9, b"\x40\x01a\x01b" * 500, b"\x00\x7f\xff\xff\xff\xff\x0f", b"\x00\x81\xff\x81\xff", b""),
]
_SIZES = [0, 1, 16_383, 16_384, (1 << 24) - 1, (1 << 31) - 1, (1 << 32) - 1]
_BODIES = [b"", b"abcd", b"abcde", HIDDEN, b"\xff" + b"a" * 4, b"\x00", bytes(16_384), bytes(20_000)]


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """All that a client sends on a connection."""
    said = b"".join(draw(_frames(2 * number + 1)) for number in range(draw(st.integers(1, 8))))
    if draw(st.integers(0, 3)) == 3:
        at = draw(st.integers(0, len(said) - 1))
        gone, more = draw(st.integers(0, 3)), draw(st.binary(max_size=3))
        said = said[:at] + more + said[at + gone :]
    settings = frame(4, 0, 0, b"") if draw(st.integers(0, 9)) else b""
    return PREFACE + settings + said


@st.composite
def _frames(draw: st.DrawFn, stream: int) -> bytes:
    """One frame, or what belongs together."""
    if draw(st.booleans()):
        # So that something comes before what is broken.
        return frame(_HEADERS, 5, stream, _BLOCKS[0])
    stream = draw(st.sampled_from([stream, stream, stream - 2 if stream > 2 else 1, *_STREAMS]))
    flags = draw(st.sampled_from([0, 1, 4, 5, 5, 5, 8, 13, 32, 37, 255]))
    kind = draw(st.sampled_from(["head", "head", "head", "split", "body", "body", "settings", "window", "any"]))
    if kind == "head":
        return frame(_HEADERS, flags, stream, draw(st.sampled_from(_BLOCKS)))
    if kind == "split":
        block, between = draw(st.sampled_from(_BLOCKS)), draw(st.sampled_from([b"", b"", frame(6, 0, 0, bytes(8))]))
        cut = len(block) // 2
        more = frame(_CONTINUATION, draw(st.sampled_from([4, 4, 0])), stream, block[cut:])
        return frame(_HEADERS, flags & ~4, stream, block[:cut]) + between + more
    if kind == "body":
        return frame(0, flags, stream, draw(st.sampled_from(_BODIES)))
    if kind == "settings":
        pairs = draw(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(_SIZES)), max_size=4))
        payload = b"".join(name.to_bytes(2, "big") + size.to_bytes(4, "big") for name, size in pairs)
        return frame(4, draw(st.sampled_from([0, 0, 1])), draw(st.sampled_from([0, 0, 1])), payload)
    if kind == "window":
        return frame(8, 0, stream, draw(st.sampled_from(_SIZES)).to_bytes(4, "big"))
    kinds = [*range(2, 11), 16, 255]
    return frame(draw(st.sampled_from(kinds)), flags, stream, draw(st.binary(max_size=12)))
