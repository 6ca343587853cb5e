"""Asks Traefik's API (Traefik docs, "API & Dashboard: Endpoints"), and is the one place that parses its answers."""

from __future__ import annotations

import asyncio
import base64
import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp

from ..aio import in_thread
from ..errors import TraefikError
from ..routing import records
from .binary import check_version
from .endpoint import Endpoint

# An answer takes a millisecond; a replica that needs this long is as good as down.
_TIMEOUT = aiohttp.ClientTimeout(total=3)
#: Stands for the answer 404.
_ABSENT = object()
#: More routers than any Traefik has.
_ALL = 1_000_000


class TraefikAPI(Endpoint):
    """The API of one replica.

    Methods raise :class:`~jhub_kvproxy.errors.TraefikError` when the answer is not one of Traefik's, and
    :class:`~jhub_kvproxy.traefik.endpoint.NoAnswer` when there is none. For `address` see
    :class:`~jhub_kvproxy.traefik.endpoint.Endpoint`.
    """

    program, kind, example = "Traefik", "a Traefik API", "http://127.0.0.1:8099"
    credential = "KVProxy.traefik_api_username and KVProxy.traefik_api_password"

    def __init__(self, url: str, username: str = "", password: str = "", *, address: str = "", label: str = "") -> None:
        super().__init__(url, _headers(username, password), address=address, label=label)

    def move(self, url: str, username: str, password: str) -> None:
        """From now on, ask at this URL, with this credential."""
        self._point(url, _headers(username, password), "")

    async def version(self, session: aiohttp.ClientSession) -> str:
        """Traefik's version, such as ``3.7.15``."""
        path = "/api/version"
        match answer := await self._get(session, path):
            case {"Version": str(version)}:
                return version
        raise self._strange(path, answer)

    async def revision(self, session: aiohttp.ClientSession, provider: str) -> str | None:
        """The revision of the routing table that the replica serves; None: it has loaded none yet."""
        path = f"/api/http/middlewares/{records.REVISION_NAME}@{provider}"
        match answer := await self._get(session, path, absent=_ABSENT):
            case {"headers": {"customResponseHeaders": {records.REVISION_HEADER: str(revision)}}}:
                return revision
        if answer is _ABSENT:
            return None
        raise self._strange(path, answer)

    async def errors(self, session: aiohttp.ClientSession) -> dict[str, str]:
        """Why Traefik does not serve a router, in its own words, by the router's name with its provider."""
        path = "/api/overview"
        match answer := await self._get(session, path):
            case {"http": {"routers": {"errors": 0}}}:
                return {}
            case {"http": {"routers": {"errors": int()}}}:
                pass
            case _:
                raise self._strange(path, answer)
        path = "/api/http/routers"
        match answer := await self._get(session, f"{path}?status=disabled&per_page=10000"):
            case [*routers]:
                return dict(self._error(path, router) for router in routers)
        raise self._strange(path, answer)

    async def routes(self, session: aiohttp.ClientSession, provider: str) -> dict[str, str]:
        """The target of each router of `provider` that is served and has a target, by the router's name."""
        names = await self._listed(
            session, f"/api/http/routers?per_page={_ALL}&status=enabled&search=@{provider}", _service
        )
        targets = await self._listed(session, f"/api/http/services?per_page={_ALL}&search=@{provider}", _target)
        return await in_thread(_joined, names, targets, f"@{provider}")

    async def _listed(
        self, session: aiohttp.ClientSession, path: str, read: Callable[[Any], tuple[str, str] | None]
    ) -> dict[str, str]:
        """What `read` makes of each object in the list at `path`, which may be long."""
        body = await self._body(session, path)
        try:
            return await in_thread(lambda: dict(filter(None, map(read, _list(body)))))
        except (ValueError, RecursionError) as error:
            raise self._strange(path, body) from error

    def _error(self, path: str, router: Any) -> tuple[str, str]:
        match router:
            case {"name": str(name), "error": [*words]} if all(isinstance(word, str) for word in words):
                return name, "; ".join(words)
            case {"name": str(name), **others} if "error" not in others:
                return name, ""
        raise self._strange(path, router)

    async def _get(self, session: aiohttp.ClientSession, path: str, *, absent: object = None) -> Any:
        """The JSON at `path`, parsed. `absent` is returned if the answer is 404, which is an error without it."""
        body = await self._body(session, path, may_be_absent=absent is not None)
        if body is None:
            return absent
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._strange(path, body) from error

    async def _body(self, session: aiohttp.ClientSession, path: str, *, may_be_absent: bool = False) -> bytes | None:
        """What is at `path`; None if the answer is 404, which is an error unless it `may_be_absent`."""
        async with self._ask(session, "GET", path, timeout=_TIMEOUT) as answer:
            if answer.status == 404 and may_be_absent:
                return None
            self._check_credential(answer)
            if answer.status != 200:
                # Traefik answers so, too, from when it listens until it has made its own routers.
                why = "it is just starting, or is not Traefik's API" if answer.status == 404 else "is it Traefik's API?"
                raise TraefikError(f"{self._place}{path} answers {answer.status}; {why}")
            return await answer.read()

    def _strange(self, path: str, answer: Any) -> TraefikError:
        return TraefikError(
            f"{self.name} does not answer as Traefik does ({path}: {reprlib.repr(answer)}); is it Traefik's API?"
        )


def _list(body: bytes | None) -> list[Any]:
    """Raises ValueError for what is no list of objects."""
    found = json.loads(body or b"")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("This is no list of objects.")
    return found


def _joined(services: Mapping[str, str], targets: Mapping[str, str], ends: str) -> dict[str, str]:
    """The target of each router whose name has these `ends`."""
    return {
        name.removesuffix(ends): targets[service.removesuffix(ends)]
        for name, service in services.items()
        if name.endswith(ends) and service.removesuffix(ends) in targets
    }


def _service(router: Mapping[str, Any]) -> tuple[str, str]:
    """The name of a router, and that of its service."""
    return str(router.get("name")), str(router.get("service"))


def _target(service: Any) -> tuple[str, str] | None:
    """The name of a service, without its provider, and its first server."""
    match service:
        case {"name": str(name), "loadBalancer": {"servers": [{"url": str(url)}, *_]}}:
            return name.rpartition("@")[0], url
    return None


def _headers(username: str, password: str) -> dict[str, str]:
    credential = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credential}"} if password else {}


async def check_versions(apis: Sequence[TraefikAPI]) -> None:
    """Raises :class:`~jhub_kvproxy.errors.TraefikError` when one is too old; skips those that do not answer."""
    async with aiohttp.ClientSession() as session:
        versions = await asyncio.gather(*(api.version(session) for api in apis), return_exceptions=True)
    for api, version in zip(apis, versions, strict=True):
        if isinstance(version, str):
            check_version(version, api.name)
