"""Routes: what JupyterHub asks for, checked and in their canonical form. Pure functions, no I/O.

A *routespec* is ``[host]/path/`` (``jupyterhub.proxy``, module docstring). Two routespecs that
stand for the same requests, such as ``/user/a%62/`` and ``/user/ab/``, parse to the same
:class:`Pattern`, and so have the same name and are the same route.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

from ..errors import RouteRejected
from .names import escape_name, shortened

# What JupyterHub.subdomain_hook makes of user names, and browsers send: not only host names by RFC 1123.
_HOST = re.compile(r"[a-z0-9_.-]*[a-z0-9_-]")
_LONGEST_HOST = 253
_ADVICE = '; JupyterHub.subdomain_hook = "idna" makes a host name of every user name'
# As Go reads them (net/url, parseHost and validOptionalPort).
_TARGET_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+(%25[A-Za-z0-9._~-]+)?\]|[^%\[\]:@]+)(:[0-9]*)?")
#: How deep a route's data may be nested. Readers of the table may take less than Python does, and Python takes less
#: the more calls are under way.
_DEEPEST = 100
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Pattern:
    """The requests a routespec stands for.

    ``host`` is lower case, without port and trailing dot, or None for any host. ``segments`` are
    the decoded path segments between the slashes; ``()`` is ``/``.
    """

    host: str | None
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, routespec: str) -> Pattern:
        """The pattern of `routespec`; its trailing slash may be missing.

        Raises :class:`RouteRejected` for what no request could reach through Traefik.
        """
        host, slash, path = routespec.partition("/")
        if not slash:
            raise _reject_routespec(routespec, "it has no '/'")
        segments = path.removesuffix("/").split("/") if path else []
        if segments and not segments[-1]:
            raise _reject_routespec(routespec, "its path ends with an empty segment")
        return cls(
            _canonical_host(host, routespec) if host else None,
            tuple(_decode_segment(segment, routespec) for segment in segments),
        )

    @property
    def routespec(self) -> str:
        """One of the routespecs that :meth:`parse` makes this pattern of."""
        path = "".join(f"{quote(segment, safe='')}/" for segment in self.segments)
        return f"{self.host or ''}/{path}"

    @property
    def name(self) -> str:
        """A name that no other pattern has, safe as a key segment of any store.

        Short patterns are spelled out (``/user/alice/`` is ``p.user.alice``), so that an admin
        recognises them; long ones are a hash.
        """
        parts = ["p"] if self.host is None else ["h", self.host]
        return shortened("x", ".".join(map(escape_name, [*parts, *self.segments])))


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the routing table, checked: Traefik can serve it and JSON can carry its data."""

    routespec: str
    target: str
    data: dict[str, Any]
    pattern: Pattern = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", Pattern.parse(self.routespec))
        _check_target(self.routespec, self.target)
        _check_data(self.routespec, self.data)
        # Whoever called may change his own.
        object.__setattr__(self, "data", copy_json(self.data))

    @property
    def name(self) -> str:
        return self.pattern.name

    def to_record(self) -> str:
        """The JSON text that the store keeps; :meth:`from_record` is its inverse."""
        record = {"routespec": self.routespec, "target": self.target, "data": self.data}
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_record(cls, record: str) -> Route:
        """Raises :class:`RouteRejected` when `record` is not one that :meth:`to_record` writes."""
        try:
            fields = json.loads(record)
            return cls(fields["routespec"], fields["target"], fields["data"])
        except RouteRejected:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise RouteRejected(f"not a route record ({type(error).__name__}: {error})") from error


def target_has_path(target: str) -> bool:
    """Whether requests to `target` get a path prepended, as with configurable-http-proxy."""
    return urlsplit(target).path not in ("", "/")


def copy_json(value: Any) -> Any:
    """A copy of a JSON value that shares nothing with it that can be changed."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


def _reject_routespec(routespec: str, why: str) -> RouteRejected:
    shown = routespec if len(routespec) <= 200 else routespec[:200] + "..."
    return RouteRejected(f"Cannot route {shown!r}: {why}.")


def _canonical_host(host: str, routespec: str) -> str:
    if host.startswith("["):
        address, bracket, port = host[1:].partition("]")
        if not bracket:
            raise _reject_routespec(routespec, "its IPv6 address has no closing bracket")
    elif host.count(":") > 1:
        address, port = host, ""
    else:
        name, colon, digits = host.partition(":")
        address, port = name, colon + digits
    if port and not re.fullmatch(r":[0-9]{0,5}", port):
        raise _reject_routespec(routespec, f"{port.removeprefix(':')!r} is not a port")
    if ":" in address:
        try:
            return ipaddress.IPv6Address(address).compressed
        except ValueError as error:
            raise _reject_routespec(routespec, f"{address!r} is not an IPv6 address") from error
    try:
        name = address if address.isascii() else address.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise _reject_routespec(routespec, f"{address!r} is not a host name ({error})") from error
    name = name.lower().removesuffix(".")
    if not _HOST.fullmatch(name):
        raise _reject_routespec(routespec, f"{address!r} is not a host name{_ADVICE}")
    if len(name) > _LONGEST_HOST:
        why = f"its host has {len(name)} characters, and host names have {_LONGEST_HOST} at most{_ADVICE}"
        raise _reject_routespec(routespec, why)
    return name


def _decode_segment(segment: str, routespec: str) -> str:
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeError as error:
        raise _reject_routespec(routespec, "a part of its path is not UTF-8") from error
    if text in (".", ".."):
        raise _reject_routespec(routespec, f"browsers resolve a path segment {text!r} before they ask")
    if ".." in text.split("\\"):
        raise _reject_routespec(routespec, "browsers resolve '..' at a backslash too, so requests for it are refused")
    # Go's regexp reads any byte that is not UTF-8 as this character, so it would match too much.
    if "\ufffd" in text:
        raise _reject_routespec(routespec, "its path holds U+FFFD, the sign of a wrong decoding")
    return text


def _check_target(routespec: str, target: str) -> None:
    def reject(why: str) -> RouteRejected:
        return RouteRejected(f"Cannot route {routespec!r} to {shown!r}: {why}.")

    shown = target
    if not isinstance(target, str):
        raise reject("the target must be a URL")
    try:
        url = urlsplit(target)
        if url.username is not None or url.password is not None:
            shown = url._replace(netloc="***@" + url.netloc.rpartition("@")[2]).geturl()
            raise reject("Traefik does not send credentials that stand in a URL; leave them out")
        url.port  # noqa: B018  raises ValueError
    except ValueError as error:
        if isinstance(error, RouteRejected):
            raise
        raise reject(f"the target is not a valid URL ({error})") from error
    if url.scheme in ("http+unix", "unix"):
        raise reject(
            "Traefik cannot reach unix sockets; let the server listen on a TCP port (Spawner.ip, Spawner.port)"
        )
    if url.scheme not in ("http", "https"):
        raise reject("the target must start with http:// or https://")
    if not url.hostname:
        raise reject("the target names no host")
    if not _TARGET_HOST.fullmatch(url.netloc) or not _is_address(url.netloc):
        raise reject("the target has no host name or address that Traefik can read")
    if _BAD_ESCAPE.search(url.path):
        raise reject("a '%' in its path is not followed by two hexadecimal digits")
    if url.query or url.fragment or "?" in target or "#" in target:
        raise reject("Traefik ignores the query and fragment of a target; leave them out")
    if not target.isascii() or any(char <= " " or char in '"<>\\^`{|}\x7f' for char in target):
        raise reject("the target holds characters that must be percent-encoded in a URL")


def _is_address(netloc: str) -> bool:
    """Whether what stands in brackets, if anything does, is an IPv6 address, with a zone perhaps."""
    if not netloc.startswith("["):
        return True
    try:
        ipaddress.IPv6Address(netloc[1 : netloc.index("]")].partition("%25")[0])
    except ValueError:
        return False
    return True


def _check_data(routespec: str, data: Any) -> None:
    if not isinstance(data, dict):
        raise RouteRejected(f"Cannot route {routespec!r}: its data must be a dict, not {type(data).__name__}.")
    if _is_deeper(data, _DEEPEST):
        raise RouteRejected(f"Cannot route {routespec!r}: its data is nested more than {_DEEPEST} levels deep.")
    try:
        survives = _same_json(json.loads(json.dumps(data, allow_nan=False)), data)
    except (ValueError, TypeError) as error:
        raise RouteRejected(f"Cannot route {routespec!r}: its data is not JSON ({error}).") from error
    if not survives:
        raise RouteRejected(
            f"Cannot route {routespec!r}: its data would come back changed; "
            "use dicts with text keys, lists, text, numbers, true, false and None."
        )


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether `value` has lists and dicts in one another to more than `depth` levels."""
    if not isinstance(value, dict | list | tuple):
        return False
    return depth == 0 or any(
        _is_deeper(item, depth - 1) for item in (value.values() if isinstance(value, dict) else value)
    )


def _same_json(a: Any, b: Any) -> bool:
    """Equality that tells 1 from True and a list from a tuple, as JSON does."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same_json(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(_same_json, a, b))
    return isinstance(b, type(a)) and isinstance(a, bool) == isinstance(b, bool) and bool(a == b)
