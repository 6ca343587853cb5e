"""What each Traefik serves, or the agent beside it: all are asked at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import aiohttp

from .. import procfs
from ..agents import client
from ..agents.client import AgentAPI
from ..aio import in_thread
from ..errors import TraefikError
from ..options.replicas import required_agents, required_traefiks
from ..options.settings import Delivery, Settings
from ..push import plugin
from ..routing.revision import Revision
from ..traefik.api import TraefikAPI
from ..traefik.binary import check_version
from ..traefik.discovery import Discovery
from ..traefik.endpoint import Endpoint
from ..traefik.entry import entry_address
from ..traefik.running import home_of, label_of, running_in
from ..words import counted

_LIMIT = 3.0
_LOOPBACK = "127.0.0.1"
#: Seconds for which one that lacks the table's revision may just be taking it in, and pauses between two questions.
_MOMENT, _PAUSE = 2.0, 0.2
#: How many refused routes a sentence names.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Replica:
    """What one replica says. None, or nothing: not known."""

    #: ``local``, ``local-2``, ... for those that the hub starts, otherwise the URL.
    name: str
    #: The URL of Traefik's API, or of the agent; empty: there is none, because it does not run.
    url: str
    #: Who brings the table to it: ``push``, ``agent`` or ``store``.
    kind: str
    #: Traefik's.
    version: str | None = None
    revision: str | None = None
    #: Whether it serves the table in the store.
    is_current: bool | None = None
    #: How many commits of the same hub it lacks.
    behind: int | None = None
    #: Since when (:func:`time.time`) it has served its revision.
    since: float | None = None
    routes: int | None = None
    #: Requests since Traefik was started, by kind of route.
    requests: Mapping[str, int] = field(default_factory=dict)
    #: Open connections to its public port; only of one on this machine.
    connections: int | None = None
    #: Why it does not serve routes of the table, by routespec, or by Traefik's name of the router.
    refused: Mapping[str, str] = field(default_factory=dict)
    #: What is wrong, sentences; empty: nothing.
    errors: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """All of it in a word or three."""
        if self.errors and self.revision is None:
            return "not known" if self.url else "not found"
        if self.errors:
            return "trouble"
        if self.is_current is None:
            return "up"
        return "serves the table" if self.is_current else "has no table" if self.revision is None else "lags"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "url": self.url,
            "kind": self.kind,
            "version": self.version,
            "revision": self.revision,
            "current": self.is_current,
            "behind": self.behind,
            "since": self.since,
            "routes": self.routes,
            "requests": dict(self.requests),
            "connections": self.connections,
            "state": self.state,
            "refused": dict(self.refused),
            "errors": list(self.errors),
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """A replica to ask: its name, and how; without `api`, the reason why it cannot be asked."""

    name: str
    kind: Delivery
    api: Endpoint | None = None
    why_not: str = ""
    #: The process and the public address, of one on this machine.
    pid: int = 0
    host: str = ""
    port: int = 0


class Replicas:
    """Finds the replicas that `settings` name, again and again."""

    def __init__(self, settings: Settings, log: Any) -> None:
        self._settings = settings
        self._log = log
        self._discovery: Discovery[Any] | None = None

    async def find(self) -> list[Asked]:
        """Those that there are now. Raises :class:`~jhub_kvproxy.errors.TraefikError` if options are wrong."""
        settings, kind = self._settings, self._settings.delivery
        if settings.should_start and kind is not Delivery.AGENT:
            return [_local(settings, number) for number in range(1, settings.traefik.local_replicas + 1)]
        if self._discovery is None:
            # It may read certificates, which takes its time.
            self._discovery = await in_thread(self._required)
        return [Asked(api.name, kind, api) for api in await self._discovery.find()]

    def _required(self) -> Discovery[Any]:
        if self._settings.delivery is Delivery.AGENT:
            return required_agents(self._settings, self._log)
        return required_traefiks(self._settings, self._log)


async def find_replicas(settings: Settings, log: Any) -> list[Asked]:
    """Those that :class:`Replicas` finds, once."""
    return await Replicas(settings, log).find()


def _local(settings: Settings, number: int) -> Asked:
    """The Traefik with this number that the hub of `settings` starts on this machine."""
    name = label_of(number)
    try:
        running = running_in(home_of(Path(settings.traefik.runtime_dir).absolute(), number))
    except TraefikError as error:
        return Asked(name, settings.delivery, why_not=str(error))
    host, port, _ = entry_address(settings.traefik)
    return Asked(name, settings.delivery, running.api, pid=running.pid, host=_here(host), port=port + number - 1)


def _here(host: str) -> str:
    """Where one that listens on `host` is asked: on loopback, if it listens everywhere."""
    try:
        return _LOOPBACK if not host or ip_address(host).is_unspecified else host
    except ValueError:  # a name
        return host


def chosen_replica(found: Sequence[Asked], named: str) -> Asked:
    """The one of `found` that is `named`, or has that URL. Raises :class:`~jhub_kvproxy.errors.TraefikError`."""
    wanted = named.rstrip("/")
    for asked in found:
        if wanted in (asked.name, asked.api.url if asked.api else ""):
            return asked
    names = ", ".join(asked.name for asked in found) or "none"
    raise TraefikError(f"The hub's configuration has no replica {named!r}. It has these: {names}.")


async def ask_replicas(found: list[Asked], stored: str, prefix: str, provider: str) -> list[Replica]:
    """What each of `found` says, compared with the revision `stored`; empty: there is no table.

    `prefix` is that of the hub, `provider` the name by which Traefik reads the store by itself, if it does.
    """
    async with aiohttp.ClientSession() as session:
        return await asyncio.gather(*(_ask_until_current(each, stored, prefix, provider, session) for each in found))


async def _ask_until_current(
    asked: Asked, stored: str, prefix: str, provider: str, session: aiohttp.ClientSession
) -> Replica:
    """What it says; one that lacks what is `stored` is asked again for a moment."""
    end = time.monotonic() + _MOMENT
    while True:
        replica = await _ask(asked, stored, prefix, provider, session)
        if replica.is_current is not False or replica.errors or time.monotonic() > end:
            return replica
        await asyncio.sleep(_PAUSE)


async def _ask(asked: Asked, stored: str, prefix: str, provider: str, session: aiohttp.ClientSession) -> Replica:
    if asked.api is None:
        return Replica(asked.name, "", asked.kind, errors=(asked.why_not,))
    api = asked.api
    ask: dict[Delivery, Callable[[], Awaitable[dict[str, Any]]]] = {
        Delivery.PUSH: lambda: _pushed(cast(TraefikAPI, api), session),
        Delivery.AGENT: lambda: _by_agent(cast(AgentAPI, api), session, prefix),
        Delivery.STORE: lambda: _by_store(cast(TraefikAPI, api), session, provider),
    }
    connections = await in_thread(procfs.connections_to, asked.pid, asked.port) if asked.pid else None
    replica = Replica(asked.name, api.url, asked.kind, connections=connections)
    try:
        said = await ask[asked.kind]()
    except TraefikError as error:
        return replace(replica, errors=(f"{str(error).rstrip('.')}.",))
    return replace(replica, **said, **compared(said["revision"], stored))


def compared(served: str | None, stored: str) -> dict[str, Any]:
    """Whether a replica that serves one revision is at the `stored` one, and how many commits it lacks. Pure."""
    if not stored:
        return {}
    goal = Revision.read(stored)
    if served is None:
        return {"is_current": False}
    other = Revision.read(served)
    is_current = goal.is_reached_by(served)
    is_same = other.writer == goal.writer and other.term == goal.term
    return {"is_current": is_current, "behind": max(goal.number - other.number, 0) if is_same or is_current else None}


async def _pushed(api: TraefikAPI, session: aiohttp.ClientSession) -> dict[str, Any]:
    version, answer = await asyncio.gather(api.version(session), plugin.ask(api, session))
    return {
        "version": version,
        "revision": answer.served.revision or None,
        "since": None if answer.age is None else time.time() - answer.age,
        "routes": answer.routes,
        "requests": answer.requests,
        "errors": _too_old(version, api),
    }


async def _by_agent(api: AgentAPI, session: aiohttp.ClientSession, prefix: str) -> dict[str, Any]:
    state, store = await asyncio.gather(
        client.state(api, session, prefix, "", _LIMIT), client.store_trouble(api, session, prefix, _LIMIT)
    )
    errors = [state.trouble] if state.trouble else []
    if store:
        at = datetime.fromtimestamp(store[0], UTC)
        errors.append(f"Its agent has not had the table from the store since {at:%F %T} UTC: {store[1]}")
    return {
        "version": state.traefik or None,
        "revision": state.revision or None,
        "since": None if state.age is None else time.time() - state.age,
        "routes": state.routes,
        "requests": state.requests,
        "refused": state.refused,
        "errors": (*errors, *_refusals(state.refused, "route")),
    }


async def _by_store(api: TraefikAPI, session: aiohttp.ClientSession, provider: str) -> dict[str, Any]:
    version, revision, errors = await asyncio.gather(
        api.version(session), api.revision(session, provider), api.errors(session)
    )
    ours = {name: why for name, why in errors.items() if name.endswith(f"@{provider}")}
    return {
        "version": version,
        "revision": revision,
        "refused": ours,
        "errors": (*_too_old(version, api), *_refusals(ours, "router")),
    }


def _too_old(version: str, api: TraefikAPI) -> tuple[str, ...]:
    try:
        check_version(version, api.name)
    except TraefikError as error:
        return (str(error),)
    return ()


def _refusals(refused: Mapping[str, str], what: str) -> tuple[str, ...]:
    if not refused:
        return ()
    shown = [f"{name}: {why.rstrip('.')}" for name, why in sorted(refused.items())[:_SHOWN]]
    more = "; ..." if len(refused) > _SHOWN else ""
    return (f"It does not serve {counted(len(refused), what)}. {'; '.join(shown)}{more}.",)
