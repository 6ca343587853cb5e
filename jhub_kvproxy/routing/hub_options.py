"""What a hub tells the agents beside its routes: what its options make of them, and which places are its own. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ..errors import RouteRejected
from .policy import Policy, Selection
from .routes import Pattern

#: The key below the prefix.
HUB_OPTIONS = "options"
#: Rises when an agent that does not know a new field would make another table of the same routes.
_VERSION = 1
_SELECTIONS = ("change_origin", "strip_prefix", "prepend_path")


@dataclass(frozen=True, slots=True)
class Claim:
    """A place that is a hub's own: all paths below `path` at any host, or `domain` and all hosts below it."""

    path: str = "/"
    domain: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Orders claims that cover the same place: the larger one is the narrower claim, and counts."""
        return len(self.domain), self.path.count("/")

    def __str__(self) -> str:
        return f"{self.domain} and all hosts below it" if self.domain else f"all paths below {self.path}"

    def covers(self, pattern: Pattern) -> bool:
        if self.domain:
            host = (pattern.host or "").partition(":")[0]
            return host == self.domain or host.endswith(f".{self.domain}")
        path = _segments(self.path)
        return pattern.host is None and pattern.segments[: len(path)] == path


@dataclass(frozen=True, slots=True)
class HubOptions:
    """The part of a hub's options that its agents need. Their policy has no error pages, which Traefik knows of."""

    policy: Policy = field(default_factory=Policy)
    claim: Claim = field(default_factory=Claim)

    def to_record(self) -> str:
        """The JSON text that the store keeps; :meth:`from_record` is its inverse."""
        record: dict[str, Any] = {"version": _VERSION, "path": self.claim.path, "domain": self.claim.domain}
        for name in _SELECTIONS:
            selection: Selection = getattr(self.policy, name)
            patterns = selection if isinstance(selection, bool) else sorted(pattern.routespec for pattern in selection)
            record[name] = patterns
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_record(cls, text: str) -> HubOptions:
        """Raises ValueError for what is no such record, or one of a newer release."""
        try:
            record = json.loads(text)
            if record["version"] != _VERSION:
                raise ValueError(f"it has version {record['version']!r}, and this jhub-kvproxy knows {_VERSION}")
            policy = Policy(
                change_origin=_selection(record["change_origin"]),
                strip_prefix=_selection(record["strip_prefix"]),
                prepend_path=_selection(record["prepend_path"]),
            )
            path, domain = str(record["path"]), str(record["domain"])
            Pattern.parse(path)
        except (LookupError, TypeError, AttributeError, RecursionError, RouteRejected) as error:
            raise ValueError(f"it is no record of a hub's options ({error!r})") from error
        return cls(policy, Claim(path, domain))


@lru_cache(maxsize=64)  # a fleet asks it for each route
def _segments(path: str) -> tuple[str, ...]:
    return Pattern.parse(path).segments


def _selection(found: Any) -> Selection:
    return found if isinstance(found, bool) else frozenset(Pattern.parse(str(one)) for one in found)
