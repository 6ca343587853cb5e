"""A table as a file of JSON lines: the first says what it is, and each of the others is the record of a route. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from ..errors import KVProxyError, RouteRejected
from ..routing.routes import Route

_FORMAT = "jhub-kvproxy table"
_VERSION = 1


class TableFileError(KVProxyError):
    """A file holds no table that can be read."""


def to_file(routes: Iterable[Route], revision: str) -> bytes:
    """The content of a file with `routes`; :func:`from_file` is its inverse."""
    return "".join(f"{line}\n" for line in _lines(sorted(routes, key=lambda route: route.routespec), revision)).encode()


def _lines(routes: list[Route], revision: str) -> Iterator[str]:
    yield json.dumps({"format": _FORMAT, "version": _VERSION, "routes": len(routes), "revision": revision})
    yield from (route.to_record() for route in routes)


def from_file(content: bytes, name: str) -> list[Route]:
    """The routes in the `content` of the file `name`.

    Raises :class:`TableFileError`, which names the line, if anything in it is not as :func:`to_file` writes it.
    """
    *lines, rest = content.split(b"\n")
    if not lines:
        raise TableFileError(f"{name}, line 1: its first line has no end: it is no table of `export`, or was cut off.")
    count = _read_head(lines[0], name)
    routes: dict[str, tuple[int, Route]] = {}
    for number, line in enumerate(lines[1:], 2):
        route = _read_route(line, f"{name}, line {number}")
        before, same = routes.setdefault(route.name, (number, route))
        if before != number:
            raise TableFileError(
                f"{name}, line {number}: {route.routespec!r} is the same route as {same.routespec!r} on line {before}."
            )
    end = f"{name}, line {len(lines) + bool(rest)}"
    if rest:
        raise TableFileError(f"{end}: this line has no end: the file was cut off.")
    if len(routes) < count:
        raise TableFileError(f"{end}: the file ends after {len(routes)} of {count} routes: it was cut off.")
    if len(routes) > count:
        raise TableFileError(f"{end}: the file has {len(routes)} routes, and its first line tells of {count}.")
    return [route for _, route in routes.values()]


def _read_head(line: bytes, name: str) -> int:
    """How many routes follow."""
    place = f"{name}, line 1"
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise TableFileError(f"{place}: this is no table that jhub-kvproxy export has written.")
    match head:
        case {"version": int(version)} if version > _VERSION:
            raise TableFileError(
                f"{place}: the table has version {version}, and this jhub-kvproxy reads {_VERSION}; upgrade it."
            )
        case {"version": 1, "routes": int(count)} if count >= 0:
            return count
    raise TableFileError(f"{place}: the version, or the number of routes, is none.")


def _read_route(line: bytes, place: str) -> Route:
    try:
        return Route.from_record(line.decode())
    except UnicodeDecodeError as error:
        raise TableFileError(f"{place}: it is not UTF-8.") from error
    except RouteRejected as error:
        raise TableFileError(f"{place}: {str(error).rstrip('.')}.") from error
