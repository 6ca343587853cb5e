"""Where one request ends and the next begins: a reading of RFC 9112 that is as generous as a server may be."""

from __future__ import annotations

import re


def requests_in(raw: bytes) -> list[tuple[str, str, bytes]]:
    """The requests (method, target, body) that `raw` is, up to the first that a server must refuse or wait for.

    What may be read in one way or be refused is read: a proxy may refuse it, but not read it in another way.
    """
    found = []
    while request := _next(raw):
        method, target, body, raw, goes_on = request
        found.append((method, target, body))
        if not goes_on:
            break
    return found


def _next(raw: bytes) -> tuple[str, str, bytes, bytes, bool] | None:
    raw = re.sub(rb"^(?:\r?\n)+", b"", raw)
    end = re.search(rb"\r?\n\r?\n", raw)
    if not end:
        return None
    # A server may also refuse a line that goes on in the next one (5.2).
    first, *lines = re.split(rb"\r?\n", re.sub(rb"[ \t]*\r?\n[ \t]+", b" ", raw[: end.start()]))
    rest = raw[end.end() :]
    start = re.fullmatch(rb"([!-~]+) ([!-~\x80-\xff]+) HTTP/([12]\.[0-9])", first)
    if not start:
        return None
    headers = []
    for line in lines:
        header = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\t -~\x80-\xff])*?)[ \t]*", line)
        if not header:
            return None
        headers.append((header[1].lower(), header[2]))
    lengths = {value for name, value in headers if name == b"content-length"}
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    is_old = start[3] == b"1.0"
    if is_old:
        codings.clear()  # an older server does not know them, and Go ignores them
    if len(lengths) > 1 or len(codings) > 1 or any(not re.fullmatch(rb"[0-9]+", length) for length in lengths):
        return None
    if codings:
        unpacked = _unchunked(rest) if codings[0] == b"chunked" else None
        if unpacked is None:
            return None
        body, rest = unpacked
    else:
        size = int(next(iter(lengths), b"0"))
        if len(rest) < size:
            return None
        body, rest = rest[:size], rest[size:]
    options = b",".join(value for name, value in headers if name == b"connection").lower()
    goes_on = b"close" not in options and (not is_old or b"keep-alive" in options)
    return start[1].decode(), start[2].decode("latin-1"), body, rest, goes_on


def _unchunked(raw: bytes) -> tuple[bytes, bytes] | None:
    """The body, and what comes behind it."""
    body = b""
    while True:
        line = re.match(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n", raw)
        if not line:
            return None
        size, raw = int(line[1], 16), raw[line.end() :]
        if not size:
            break
        if len(raw) < size + 2 or raw[size : size + 2] != b"\r\n":
            return None
        body, raw = body + raw[:size], raw[size + 2 :]
    trailer = re.match(rb"(?:[^\r\n:]+:[^\r\n]*\r\n)*\r\n", raw)
    return (body, raw[trailer.end() :]) if trailer else None
