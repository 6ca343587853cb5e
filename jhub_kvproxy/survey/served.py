"""The routes that a replica serves, and when each was used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import aiohttp

from ..agents import client
from ..agents.client import AgentAPI
from ..aio import in_thread
from ..errors import TraefikError
from ..options.settings import Delivery
from ..push import plugin
from ..push.plugin import Listing
from ..push.wire import key_of, pattern_of
from ..routing.described import iso
from ..traefik.api import TraefikAPI
from ..traefik_routers.rules import spread
from .replicas import Asked
from .table import StoredRoute, Table


@dataclass(frozen=True, slots=True)
class ServedTable:
    """What one replica serves."""

    #: None: it serves no table.
    revision: str | None
    #: The targets, by routespec. It is not always spelled as JupyterHub does.
    targets: Mapping[str, str]


async def served_by(asked: Asked, table: Table, prefix: str, provider: str) -> ServedTable:
    """All routes of the hub with this `prefix` that the replica serves; `table` is that in the store.

    `provider` is the name by which Traefik reads the store by itself, if it does. Raises
    :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    if asked.api is None:
        raise TraefikError(asked.why_not)
    async with aiohttp.ClientSession() as session:
        if asked.kind is not Delivery.STORE:
            return await in_thread(_as_spelled, await _listing(asked, session, prefix), table)
        api = cast(TraefikAPI, asked.api)
        revision, routers = await asyncio.gather(api.revision(session, provider), api.routes(session, provider))
    return await in_thread(_by_routers, revision, routers, table)


async def served_at(asked: Asked, prefix: str, path: str, host: str) -> Listing:
    """The route that a request for `path` at `host` gets there, where our plugin is.

    Raises :class:`~jhub_kvproxy.errors.TraefikError`.
    """
    if asked.api is None:
        raise TraefikError(asked.why_not)
    async with aiohttp.ClientSession() as session:
        return await _listing(asked, session, prefix, path, host)


async def _listing(
    asked: Asked, session: aiohttp.ClientSession, prefix: str, path: str = "", host: str = ""
) -> Listing:
    if asked.kind is Delivery.AGENT:
        return await client.routes(cast(AgentAPI, asked.api), session, prefix, path, host)
    return await plugin.routes(cast(TraefikAPI, asked.api), session, path, host)


def _as_spelled(listing: Listing, table: Table) -> ServedTable:
    spelled = {key_of(stored.route.pattern): routespec for routespec, stored in table.routes.items()}
    targets = {spelled.get(key) or pattern_of(key).routespec: target for key, target in listing.targets.items()}
    return ServedTable(listing.served.revision or None, targets)


def _by_routers(revision: str | None, routers: Mapping[str, str], table: Table) -> ServedTable:
    """Those of the routers that are of routes in `table`; others by the name of the router."""
    spelled = {spread(stored.route.name): routespec for routespec, stored in table.routes.items()}
    return ServedTable(revision, {spelled.get(name, name): target for name, target in routers.items()})


async def last_used(found: Sequence[Asked], prefix: str) -> dict[str, float]:
    """When (:func:`time.time`) each route was used last through any of `found`, by the plugin's keys.

    What a replica does not tell is not known.
    """
    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(*(_ages(asked, session, prefix) for asked in found if asked.api))
    now, newest = time.time(), dict[str, float]()
    for ages in answers:
        for key, age in ages.items():
            newest[key] = max(newest.get(key, 0.0), now - age)
    return newest


def with_last_used(table: Table, used: Mapping[str, float]) -> dict[str, StoredRoute]:
    """The routes of `table`, each with its last use, if that is known."""
    routes = {}
    for routespec, stored in table.routes.items():
        at = used.get(key_of(stored.route.pattern))
        routes[routespec] = stored if at is None else stored.used(iso(at))
    return routes


async def _ages(asked: Asked, session: aiohttp.ClientSession, prefix: str) -> Mapping[str, float]:
    api: Any = asked.api
    try:
        match asked.kind:
            case Delivery.PUSH:
                return await plugin.ages(api, session)
            case Delivery.AGENT:
                return await client.ages(api, session, prefix)
    except TraefikError:
        pass
    return {}
