"""Traefik's own way with routers, as far as ours use it: levels, priorities, rules (``pkg/muxer/http``)."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

_RESERVED = b":/?#[]@!$&'()*+,;=%"
_CALL = re.compile(r'(\w+)\(("(?:[^"\\]|\\.)*")\)')


class TraefikModel:
    """Serves the routers that stand in `keys`, which begin with ``traefik/http/routers/``.

    They must all be right; or, if not `is_whole`, those are disabled that Traefik would disable
    (``pkg/server/router``, ParseRouterTree).
    """

    def __init__(self, keys: Mapping[str, str], *, is_whole: bool = True) -> None:
        self._is_whole = is_whole
        self._routers: dict[str, dict[str, str]] = {}
        for key, value in keys.items():
            if key.startswith("traefik/http/routers/"):
                _, _, _, name, option = key.split("/")
                self._routers.setdefault(name, {})[option] = value
        self._levels: dict[str, list[str]] = {}
        for name, router in self._routers.items():
            parents = router.get("parentRefs", "").split(",")
            missing = [parent for parent in parents if parent and parent not in self._routers]
            assert not (is_whole and missing), f"{name} has no parents {missing}"
            for parent in [] if missing else parents:
                self._levels.setdefault(parent, []).append(name)
        for name, router in self._routers.items():
            is_right = ("service" in router) != (name in self._levels)
            assert is_right or not is_whole, f"{name} has a service and children, or neither"

    @property
    def largest_level(self) -> int:
        return max(map(len, self._levels.values()))

    def serve(self, host: str, path: str) -> str | None:
        """The service that gets a request; None: 404."""
        return self._serve("", host, _routing_path(path))

    def _serve(self, parent: str, host: str, path: bytes) -> str | None:
        matching = [
            name
            for name in self._levels.get(parent, ())
            if ("service" in self._routers[name] or name in self._levels)
            and _matches(self._routers[name]["rule"], host, path)
        ]
        priorities = [int(self._routers[name].get("priority", len(self._routers[name]["rule"]))) for name in matching]
        if not matching:
            return None
        assert not self._is_whole or priorities.count(max(priorities)) == 1, f"a tie at {path!r}: {matching}"
        first = matching[priorities.index(max(priorities))]
        return self._routers[first].get("service") or self._serve(first, host, path)


def _matches(rule: str, host: str, path: bytes) -> bool:
    def call(found: re.Match[str]) -> str:
        value = ast.literal_eval("b" + _as_bytes(found[2]))
        match found[1]:
            case "Host":
                return str(host == value.decode())
            case "HostRegexp":
                return str(bool(re.match(value, host.encode())))
            case "Path":
                return str(path == value)
            case "PathPrefix":
                return str(path.startswith(value))
            case "PathRegexp":
                return str(bool(re.match(value.decode(), path.decode())))
        raise AssertionError(found[0])

    return bool(eval(_CALL.sub(call, rule).replace("&&", "and").replace("||", "or")))


def _as_bytes(literal: str) -> str:
    r"""A Go string literal as one of bytes: ``\u79c0`` is three bytes."""

    def char(found: re.Match[str]) -> str:
        if found[0][1] not in "uU":
            return found[0]
        return "".join(f"\\x{byte:02x}" for byte in chr(int(found[0][2:], 16)).encode())

    return re.sub(r"\\(?:u[0-9a-f]{4}|U[0-9a-f]{8}|.)", char, literal)


def _routing_path(path: str) -> bytes:
    """What Traefik matches: reserved characters stay as they came, everything else is decoded."""

    def decode(found: re.Match[bytes]) -> bytes:
        byte = bytes([int(found[1], 16)])
        return found[0].upper() if byte in _RESERVED else byte

    return re.sub(rb"%([0-9A-Fa-f]{2})", decode, path.encode())
