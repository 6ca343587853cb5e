"""Asks the agent beside one Traefik, and is the one place that parses its answers."""

from __future__ import annotations

import json
import ssl
from urllib.parse import urlencode

import aiohttp

from ..aio import in_thread
from ..errors import TraefikError
from ..push.plugin import NOT_OURS, Listing, ages_in
from ..traefik.endpoint import Endpoint
from .protocol import ACTIVITY, REVISION, ROUTES, STATUS, State, credential

# Seconds. The agent asks Traefik's plugin meanwhile, which has 3.
_AGES_LIMIT = 5.0


class AgentAPI(Endpoint):
    """Where one agent answers. `tls` has the certificate authorities for ``https``; None: the system's."""

    program, kind, example = "The agent", "an agent", "http://10.0.0.1:8098"
    credential = "KVProxy.agent_token"

    def __init__(self, url: str, token: str, *, address: str = "", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(url, credential(token), address=address, tls=tls)


async def state(api: Endpoint, session: aiohttp.ClientSession, hub: str, seen: str, timeout: float) -> State:
    """What the Traefik beside the agent serves of the table of `hub`, a prefix.

    With `seen`, a tag, the agent answers when it has another one, or after some time. Raises
    :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    query = {"hub": hub, "seen": seen} if seen else {"hub": hub}
    status, body = await api.exchange(session, "GET", f"{REVISION}?{urlencode(query)}", timeout=timeout)
    _check(api, REVISION, status, body)
    try:
        return State.from_json(body)
    except ValueError as error:
        raise _not_understood(api, error) from error


async def store_trouble(
    api: Endpoint, session: aiohttp.ClientSession, hub: str, timeout: float
) -> tuple[float, str] | None:
    """Since when (:func:`time.time`) the store does not give the agent the table of `hub`, and why; None: it does.

    Raises :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    status, body = await api.exchange(session, "GET", STATUS, timeout=timeout)
    _check(api, STATUS, status, body)
    try:
        said = json.loads(body)["hubs"][hub]
        since, why = said["store_trouble_since"], str(said["store_trouble"])
        return None if since is None else (float(since), why)
    except NOT_OURS as error:
        raise _not_understood(api, error) from error


async def ages(api: Endpoint, session: aiohttp.ClientSession, hub: str) -> dict[str, float]:
    """Seconds since each route of `hub`, a prefix, was used last through the Traefik beside the agent.

    By the plugin's keys. Raises :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    path = f"{ACTIVITY}?{urlencode({'hub': hub})}"
    status, body = await api.exchange(session, "GET", path, timeout=_AGES_LIMIT)
    _check(api, ACTIVITY, status, body)
    try:
        return await in_thread(ages_in, body)
    except NOT_OURS as error:
        raise _not_understood(api, error) from error


async def routes(api: Endpoint, session: aiohttp.ClientSession, hub: str, path: str = "", host: str = "") -> Listing:
    """The routes of `hub`, a prefix, that the Traefik beside the agent serves, or the one that a request gets.

    Raises :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    query = {"hub": hub, "path": path, "host": host} if path else {"hub": hub}
    status, body = await api.exchange(session, "GET", f"{ROUTES}?{urlencode(query)}", timeout=_AGES_LIMIT)
    _check(api, ROUTES, status, body)
    try:
        return await in_thread(Listing.from_json, body)
    except NOT_OURS as error:
        raise _not_understood(api, error) from error


def _check(api: Endpoint, path: str, status: int, body: bytes) -> None:
    if status == 200:
        return
    try:
        words = str(json.loads(body)["error"])
    except NOT_OURS:
        raise TraefikError(f"{api.title} answers {status} for {path}; is it an agent?") from None
    raise TraefikError(f"{api.title} says: {words}")


def _not_understood(api: Endpoint, error: Exception) -> TraefikError:
    return TraefikError(f"{api.title} does not answer as an agent does ({error})")
