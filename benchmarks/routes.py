"""The routes of a benchmark: those that stand already, and those that come and go. Pure.

The worker processes import this too, with whatever Python a proxy needs: standard library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

#: What the origin answers at each of its addresses; "hub" is where the default route leads.
ORIGINS = ("hub", "a", "b")

#: The user whose server echoes websockets.
ECHO_USER = "echo"

_SYLLABLES: tuple[str, ...] = ("ba", "chi", "da", "el", "fo", "gu", "han", "is", "jo", "ka", "li", "mo", "na")
_SYLLABLES += ("ol", "pe", "qui", "ro", "sa", "ti", "ulf", "vi", "wa", "xe", "ya", "zo")

Route = tuple[str, str, dict[str, Any]]


def user(number: int) -> str:
    """The name of a user: like a person's, and no other number's."""
    digest = hashlib.sha256(str(number).encode()).digest()
    return "".join(_SYLLABLES[byte % len(_SYLLABLES)] for byte in digest[:3]) + str(number)


def routespec(name: str) -> str:
    return f"/user/{name}/"


def hub_route(target: str) -> Route:
    return "/", target, {"hub": True}


def user_route(name: str, target: str) -> Route:
    return routespec(name), target, {"user": name, "server_name": ""}


def standing(count: int, targets: dict[str, str]) -> list[Route]:
    """The hub's route and those of `count` users, whose servers are origin "a"."""
    return [hub_route(targets["hub"]), *(user_route(user(number), targets["a"]) for number in range(count))]


def positions(count: int) -> dict[str, str]:
    """Paths that are the first, the middle and the last of `count` routes by name, and the hub's."""
    specs = sorted(routespec(user(number)) for number in range(count))
    return {"first": specs[0], "middle": specs[len(specs) // 2], "last": specs[-1], "hub": "/hub/"}


def some(names: Iterable[str], most: int) -> list[str]:
    """At most `most` of `names`, spread over all of them."""
    names = list(names)
    step = max(1, len(names) // most)
    return names[::step][:most]
