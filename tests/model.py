"""What routing must do, in ten lines: of the routespecs that match a request, the longest wins."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from jhub_kvproxy.routing.routes import Pattern


def winner(routespecs: Iterable[str], host: str, path: str) -> str | None:
    """Which of `routespecs` gets a request for `path` on `host`."""
    asked = [unquote(segment) for segment in path.split("/")[1:]]
    matching = []
    for routespec in routespecs:
        pattern = Pattern.parse(routespec)
        if pattern.host in (None, host) and list(pattern.segments) == asked[: len(pattern.segments)]:
            matching.append((pattern.host is not None, len(pattern.segments), routespec))
    return max(matching)[2] if matching else None
