"""Speaks with the plugin in one replica of Traefik, over the entry point of Traefik's API."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp

from ..aio import in_thread
from ..errors import TraefikError
from ..traefik.endpoint import Endpoint
from .wire import Served

TABLE = "/kvproxy/table"
ACTIVITY = "/kvproxy/activity"
ROUTES = "/kvproxy/routes"

# Seconds. An answer takes a millisecond; a replica that needs this long is as good as down.
_LIMIT = 3.0
#: What parsing an answer raises that is none of our plugin's.
NOT_OURS = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)
#: Bytes a second that a large table is sent and taken in with at least.
_SLOWEST = 500_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What the plugin serves, and has done."""

    served: Served
    #: How many routes it has.
    routes: int
    #: Requests since Traefik was started, by kind of route: ``hub``, ``user``, ``service``, ``other``.
    requests: Mapping[str, int]
    #: Why it did not take what it was sent; empty: it did.
    refusal: str = ""
    #: Seconds for which it has served this revision; None: it serves none.
    age: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Routes that the plugin has, by its keys."""

    served: Served
    #: The target of each.
    targets: Mapping[str, str]

    def to_json(self) -> str:
        routes = {key: {"t": target} for key, target in self.targets.items()}
        return json.dumps({"revision": self.served.revision, "form": self.served.form, "routes": routes})

    @classmethod
    def from_json(cls, body: bytes) -> Listing:
        """What a plugin answers, or an agent. Raises one of :data:`NOT_OURS` for what is no such answer."""
        said: dict[str, Any] = json.loads(body)
        targets = {str(key): str(line["t"]) for key, line in said["routes"].items()}
        return cls(Served(str(said["revision"]), str(said["form"])), targets)


class RouteRefused(TraefikError):
    """The plugin does not take the route with this `key`, and so nothing of the message that has it."""

    def __init__(self, text: str, key: str) -> None:
        super().__init__(text)
        self.key = key


async def ask(api: Endpoint, session: aiohttp.ClientSession) -> Answer:
    """What the plugin serves now. Raises :class:`~jhub_kvproxy.errors.TraefikError`."""
    status, body = await api.exchange(session, "GET", TABLE, timeout=_LIMIT)
    if status != 200:
        raise _not_the_plugin(api, status)
    return _answer(api, body)


async def send(api: Endpoint, session: aiohttp.ClientSession, method: str, body: bytes) -> Answer:
    """Send a message (:class:`~jhub_kvproxy.push.wire.Message`); the answer is what the plugin serves then.

    Raises :class:`~jhub_kvproxy.errors.TraefikError`, and :class:`RouteRefused` for a route that is none.
    """
    limit = _LIMIT + len(body) / _SLOWEST
    status, answer = await api.exchange(session, method, TABLE, data=io.BytesIO(body), timeout=limit)
    if status == 400:
        why, key = _refusal(answer)
        if key is not None:
            raise RouteRefused(f"Traefik at {api.name} does not take {why}", key)
        raise TraefikError(f"The plugin in Traefik at {api.name} does not understand us: {why}")
    if status not in (200, 409):
        raise _not_the_plugin(api, status)
    return _answer(api, answer)


async def ages(api: Endpoint, session: aiohttp.ClientSession) -> dict[str, float]:
    """Seconds since each route was used last, by its key; without those that were not used since Traefik was started.

    Raises :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    status, body = await api.exchange(session, "GET", ACTIVITY, timeout=_LIMIT)
    if status != 200:
        raise _not_the_plugin(api, status)
    try:
        return await in_thread(ages_in, body)
    except NOT_OURS as error:
        raise _not_understood(api, error) from error


async def routes(api: Endpoint, session: aiohttp.ClientSession, path: str = "", host: str = "") -> Listing:
    """All routes or, if a path is given, the one that a request for it at `host` gets, if there is one.

    Raises :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    query = f"?{urlencode({'path': path, 'host': host})}" if path else ""
    status, body = await api.exchange(session, "GET", ROUTES + query, timeout=_LIMIT)
    if status == 404:
        raise TraefikError(f"The plugin in Traefik at {api.name} is of an older release, and does not tell its routes")
    if status != 200:
        raise _not_the_plugin(api, status)
    try:
        return await in_thread(Listing.from_json, body)
    except NOT_OURS as error:
        raise _not_understood(api, error) from error


def ages_in(body: bytes) -> dict[str, float]:
    """The ages that an answer has. Raises one of :data:`NOT_OURS` for what is no such answer."""
    ages = {str(key): float(age) for key, age in json.loads(body)["ages"].items()}
    if not all(map(math.isfinite, ages.values())):
        raise ValueError("an age is no number of seconds")
    return ages


def _answer(api: Endpoint, body: bytes) -> Answer:
    try:
        answer: dict[str, Any] = json.loads(body)
        served = Served(str(answer["revision"]), str(answer["form"]))
        requests = {str(kind): int(count) for kind, count in answer.get("requests", {}).items()}
        age = answer.get("age")
        refusal = str(answer.get("error", ""))
        return Answer(served, int(answer["routes"]), requests, refusal, None if age is None else float(age))
    except NOT_OURS as error:
        raise _not_understood(api, error) from error


def _refusal(body: bytes) -> tuple[str, str | None]:
    """Why a message was refused, and the key of the route that is to blame, if it is one route."""
    try:
        answer = json.loads(body)
        key = answer.get("key")
        return str(answer["error"]), None if key is None else str(key)
    except NOT_OURS:
        return "it does not say why", None


def _not_understood(api: Endpoint, error: Exception) -> TraefikError:
    return TraefikError(f"What Traefik at {api.name} answers is not of our plugin ({error!r})")


def _not_the_plugin(api: Endpoint, status: int) -> TraefikError:
    if status == 404:
        return TraefikError(
            f"Traefik at {api.name} does not have our plugin (404 for {TABLE}); start it with the files and the "
            'configuration that "jhub-kvproxy traefik-config" gives, or set KVProxy.delivery = "store"'
        )
    return TraefikError(f"Traefik at {api.name} answers {status} for {TABLE}")
