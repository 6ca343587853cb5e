"""The routing table as one JSON document, for Traefik's ``rest`` provider. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..changes import difference
from ..fragments import Fragments
from ..table import REVISION_KEY, TRAEFIK
from .dynamic import HEALTH_ROUTER, unflatten


def _flag(text: str) -> bool:
    return text == "true"


def _names(text: str) -> list[str]:
    return text.split(",")


# Traefik reads texts from keys and TOML, and here the types that its fields have (pkg/config/dynamic).
_TYPED: dict[str, Callable[[str], Any]] = {
    "allowedHosts": _names,
    "errorRequestHeaders": _names,
    "hostsProxyHeaders": _names,
    "middlewares": _names,
    "parentRefs": _names,
    "passHostHeader": _flag,
    "preservePath": _flag,
    "priority": int,
    "regex": _names,
    "rejectStatusCode": int,
    "sourceRange": _names,
    "status": _names,
    "statusRewrites/*": int,
}


class Document:
    """What Traefik is to serve, of which only the parts are made again that a change touches.

    With `has_health` the path for load balancers is in it; Traefik must have ``ping`` then.
    """

    def __init__(self, has_health: bool) -> None:
        self._fragments = Fragments(_render)
        self._routers = [f'"kvproxy-health":{json.dumps(HEALTH_ROUTER)}'] if has_health else []

    def of(self, keys: Mapping[str, str], revision: str) -> bytes:
        """The document of a table with these `keys`, at `revision`."""
        served = {key: value for key, value in keys.items() if key.startswith(TRAEFIK)}
        self._fragments.update(difference(self._fragments.keys, {**served, REVISION_KEY: revision}))
        sections = {"routers": self._routers.copy()}
        for element, text in self._fragments.texts.items():
            sections.setdefault(element.split("/")[2], []).append(text)
        http = ",".join(f'"{section}":{{{",".join(texts)}}}' for section, texts in sections.items())
        return f'{{"http":{{{http}}}}}'.encode()


def _render(element: str, keys: Mapping[str, str]) -> str:
    typed = {key.removeprefix(element + "/"): _typed(key, value) for key, value in keys.items()}
    return f"{json.dumps(element.rpartition('/')[2])}:{json.dumps(unflatten(typed))}"


def _typed(key: str, value: str) -> Any:
    above, _, name = key.rpartition("/")
    of_all = _TYPED.get(f"{above.rpartition('/')[2]}/*", str)
    return _TYPED.get(name, of_all)(value)
