"""The admin's own page for browsers while neither a server nor an error page can be had."""

from __future__ import annotations

from pathlib import Path

from ..errors import TraefikError

#: In bytes. Each Traefik has it in its configuration.
LARGEST = 64 * 1024


def away_page(file: str) -> bytes:
    """What `file` holds; empty if none is named. Raises :class:`TraefikError` for what cannot be shown."""
    if not file:
        return b""
    try:
        page = Path(file).expanduser().read_bytes()
    except OSError as error:
        raise TraefikError(f"KVProxy.away_page: {file} cannot be read: {error.strerror}.") from error
    if not page.strip():
        raise TraefikError(f"KVProxy.away_page: {file} is empty.")
    if len(page) > LARGEST:
        raise TraefikError(f"KVProxy.away_page: {file} has {len(page)} bytes; at most {LARGEST} are allowed.")
    return page
