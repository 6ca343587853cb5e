"""Follows one request through the store, each replica and the target."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ..aio import in_thread
from ..errors import TraefikError
from ..options.settings import Delivery, Settings
from ..push.wire import key_of, pattern_of
from ..routing.policy import Policy, includes
from ..routing.routes import Route, target_has_path
from ..traefik.entry import entry_address
from ..traefik.settings import TraefikSettings
from ..traefik.static import address
from .matching import Candidate, Request, candidates, covers, rank
from .replicas import Asked
from .served import served_at, served_by
from .table import StoredRoute, Table

_LIMIT = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered to a request; without `status`, why it did not."""

    url: str
    status: int | None = None
    error: str = ""
    #: Seconds.
    latency: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {"url": self.url, "status": self.status, "error": self.error or None, "latency": self.latency}


@dataclass(frozen=True, slots=True)
class Passage:
    """The request at one replica."""

    name: str
    #: The route that it gets there, and its target; None: none.
    routespec: str | None = None
    target: str | None = None
    #: Why that is not known, a sentence; empty: it is.
    error: str = ""
    #: What the replica answered; None: it was not asked, because its public address is not known here, or because it
    #: wants a certificate of each client.
    reply: Reply | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "routespec": self.routespec,
            "target": self.target,
            "error": self.error or None,
            "reply": self.reply.to_json() if self.reply else None,
        }


@dataclass(frozen=True, slots=True)
class Trace:
    """A request, and what became of it."""

    request: Request
    candidates: Sequence[Candidate]
    #: What the target of the route that wins answers; None: there is none.
    target: Reply | None
    passages: Sequence[Passage]
    #: What was answered at the URL, if a whole one was given.
    reply: Reply | None = None

    @property
    def winner(self) -> Candidate | None:
        return next((each for each in self.candidates if each.wins), None)


async def follow(
    request: Request,
    table: Table,
    found: Sequence[Asked],
    settings: Settings,
    prefix: str,
    provider: str,
    agent: str,
    *,
    asks_origin: bool = True,
) -> Trace:
    """Ask everybody about `request` at once; `agent` is the header User-Agent of the requests.

    Without `asks_origin`, nothing is sent to the host of the URL, which may be anybody's.
    """
    judged = await in_thread(candidates, request, table.routes)
    winner = next((each.route for each in judged if each.wins), None)
    async with aiohttp.ClientSession(timeout=_LIMIT, headers={"User-Agent": agent}) as session:
        passing = (_pass(each, request, table, settings, prefix, provider, session) for each in found)
        target, reply, passages = await asyncio.gather(
            _target(request, winner, settings.traefik.policy, session),
            _at_origin(request if asks_origin else replace(request, origin=""), session),
            asyncio.gather(*passing),
        )
    return Trace(request, judged, target, passages, reply)


async def _at_origin(request: Request, session: aiohttp.ClientSession) -> Reply | None:
    return await _get(session, request.origin + request.target) if request.origin else None


async def _target(
    request: Request, winner: StoredRoute | None, policy: Policy, session: aiohttp.ClientSession
) -> Reply | None:
    return await _get(session, sent_to(winner.route, request, policy)) if winner else None


def sent_to(route: Route, request: Request, policy: Policy) -> str:
    """The URL by which the server of `route` gets `request`. Pure."""
    target, path = urlsplit(route.target), request.target
    if includes(policy.strip_prefix, route):
        path = "/" + path.lstrip("/").split("/", len(route.pattern.segments))[-1] if route.pattern.segments else path
    before = target.path.rstrip("/") if target_has_path(route.target) and includes(policy.prepend_path, route) else ""
    return f"{target.scheme}://{target.netloc}{before}{path}"


async def _pass(
    asked: Asked,
    request: Request,
    table: Table,
    settings: Settings,
    prefix: str,
    provider: str,
    session: aiohttp.ClientSession,
) -> Passage:
    host = request.pattern.host or ""
    try:
        if asked.kind is Delivery.STORE:
            targets = (await served_by(asked, table, prefix, provider)).targets
            routespec = await in_thread(_best, request, targets, table)
            target = targets[routespec] if routespec else None
        else:
            listing = await served_at(asked, prefix, request.path, host)
            routespec, target = next(iter(listing.targets.items()), (None, None))
            routespec = None if routespec is None else await in_thread(_spelled, routespec, table)
    except TraefikError as error:
        return Passage(asked.name, error=f"{str(error).rstrip('.')}.")
    reply = None
    if asked.port and not _wants_certificate(settings.traefik):
        scheme = "https" if entry_address(settings.traefik)[2] else "http"
        headers = {"Host": urlsplit(request.origin).netloc} if request.origin else {}
        reply = await _get(session, f"{scheme}://{address(asked.host, asked.port)}{request.target}", headers)
    return Passage(asked.name, routespec, target, reply=reply)


def _wants_certificate(settings: TraefikSettings) -> bool:
    """Whether each client must have a certificate, which there is none of here."""
    return bool(settings.client_ca) and settings.client_auth == "require"


def _best(request: Request, targets: Mapping[str, str], table: Table) -> str | None:
    """The route of those that are served which `request` gets."""
    routes = [table.routes[spec] for spec in targets if spec in table.routes]
    covering = [each for each in routes if covers(each.route.pattern, request)]
    best = max(covering, key=rank, default=None)
    return best.routespec if best else None


def _spelled(key: str, table: Table) -> str:
    """The routespec of a key of the plugin's, as JupyterHub spells it if it is in `table`."""
    for routespec, stored in table.routes.items():
        if key_of(stored.route.pattern) == key:
            return routespec
    return pattern_of(key).routespec


async def _get(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None = None) -> Reply:
    """GET `url`, without following redirects, and without checking certificates: this is about who answers."""
    began = time.monotonic()
    try:
        async with session.get(url, headers=headers, allow_redirects=False, ssl=False) as answer:
            return Reply(url, answer.status, latency=time.monotonic() - began)
    except TimeoutError:
        return Reply(url, error="no answer in time")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        number = error.os_error.errno if isinstance(error, aiohttp.ClientConnectorError) else None
        return Reply(url, error=os.strerror(number).lower() if number and number > 0 else str(error) or repr(error))
