"""Which route a request gets, and why the others do not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import RouteRejected
from ..routing.routes import Pattern
from .naming import owner_of
from .table import StoredRoute

#: How many routes are named that do not cover the request, but nearly.
_NEAR = 4


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for: a URL, or only its path."""

    #: As the route table has it: the path decoded, the host in lower case without port; None: not said.
    pattern: Pattern
    #: Path and query, as they are sent.
    target: str
    #: ``http`` or ``https`` and the host with its port; empty: only a path was given.
    origin: str = ""

    @classmethod
    def of(cls, url: str) -> Request:
        """Raises :class:`~jhub_kvproxy.errors.RouteRejected` for what no browser asks for."""
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018  raises ValueError
        except ValueError as error:
            raise RouteRejected(f"{url!r} is no URL: {error}.") from error
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname)
        if not is_whole and not url.startswith("/"):
            raise RouteRejected(
                f"{url!r} is no URL; write it like https://hub.example.org/user/alice/ or /user/alice/."
            )
        path = parts.path if is_whole else url.partition("?")[0].partition("#")[0]
        pattern = Pattern.parse(f"{parts.netloc.rpartition('@')[2] if is_whole else ''}/{path.strip('/')}")
        query = f"?{parts.query}" if parts.query else ""
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if is_whole else ""
        return cls(pattern, (path or "/") + query, origin)

    @property
    def path(self) -> str:
        """The canonical path, encoded."""
        return Pattern(None, self.pattern.segments).routespec.rstrip("/") or "/"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route that a request gets, or might seem to get."""

    route: StoredRoute
    wins: bool
    #: Why it does not win, as a part of a sentence; empty: it does.
    why: str = ""

    @property
    def owner(self) -> str:
        return owner_of(self.route.data)


def candidates(request: Request, routes: Mapping[str, StoredRoute]) -> list[Candidate]:
    """The route that `request` gets first, then those that cover it too, then some that nearly do."""
    covering = sorted((r for r in routes.values() if covers(r.route.pattern, request)), key=rank, reverse=True)
    found = [Candidate(route, True) for route in covering[:1]]
    for route in covering[1:]:
        why = "a route with the host comes first" if _is_other_host(route, covering[0]) else "its path is shorter"
        found.append(Candidate(route, False, why))
    near = [Candidate(r, False, why) for _, r in sorted(routes.items()) if (why := _why_not(r.route.pattern, request))]
    return found + near[:_NEAR]


def covers(pattern: Pattern, request: Request) -> bool:
    asked = request.pattern
    if pattern.host is not None and pattern.host != asked.host:
        return False
    return asked.segments[: len(pattern.segments)] == pattern.segments


def rank(stored: StoredRoute) -> tuple[bool, int]:
    """Of those that cover a request, the route with the highest one gets it."""
    pattern = stored.route.pattern
    return pattern.host is not None, len(pattern.segments)


def _is_other_host(one: StoredRoute, other: StoredRoute) -> bool:
    return one.route.pattern.host != other.route.pattern.host


def _why_not(pattern: Pattern, request: Request) -> str:
    """Why a route does not cover the request, as a part of a sentence; empty: it does, or is of something else."""
    asked = request.pattern
    if pattern.host is not None and pattern.host != asked.host:
        return (
            f"it is of the host {pattern.host}" if asked.segments[: len(pattern.segments)] == pattern.segments else ""
        )
    if not pattern.segments or covers(pattern, request):
        return ""
    begin = asked.segments[: len(pattern.segments)]
    if tuple(map(str.lower, begin)) == tuple(map(str.lower, pattern.segments)):
        return "its path has other upper and lower case"
    shared = min(2, len(asked.segments))
    if shared == 2 and pattern.segments[:shared] == asked.segments[:shared]:
        return "it is for other paths"
    return ""
