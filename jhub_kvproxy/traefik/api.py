"""Asks Traefik's API (Traefik docs, "API & Dashboard: Endpoints"), and is the one place that parses its answers."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import reprlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ..errors import TraefikError
from ..routing import records
from .binary import check_version

# An answer takes a millisecond; a replica that needs this long is as good as down.
_TIMEOUT = aiohttp.ClientTimeout(total=3)
#: Stands for the answer 404.
_ABSENT = object()


class NoAnswer(TraefikError):
    """No program answers at the URL, or none in time."""


class TraefikAPI:
    """The API of one replica.

    Methods raise :class:`~jhub_kvproxy.errors.TraefikError` when the answer is not one of Traefik's, and
    :class:`NoAnswer` when there is none. The caller owns `session`. With `address`, an IP address, requests go there,
    with the host name of `url`.
    """

    def __init__(self, url: str, username: str = "", password: str = "", *, address: str = "") -> None:
        self.move(url, username, password, address=address)

    def move(self, url: str, username: str = "", password: str = "", *, address: str = "") -> None:
        """From now on, ask at this URL, with this credential."""
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TraefikError(f"{url!r} is not the URL of a Traefik API; write it like http://127.0.0.1:8099.")
        if "@" in parts.netloc:
            raise TraefikError(
                f"The URL of Traefik's API at {parts.netloc.rpartition('@')[2]} has a user name in it, which would be "
                "in every log; set KVProxy.traefik_api_username and KVProxy.traefik_api_password."
            )
        credential = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credential}"} if password else {}
        #: Names the replica in the log. No other has this name.
        self.name = f"{self.url} at {address}" if address else self.url
        self._place = self.url
        #: The host name that the server's certificate must have; None: that of the URL.
        self._host: str | None = None
        if address:
            port = f":{parts.port}" if parts.port else ""
            self._place = parts._replace(netloc=f"[{address}]{port}" if ":" in address else address + port).geturl()
            self._host = parts.hostname
            self._headers["Host"] = f"{parts.hostname}{port}"

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

    def _error(self, path: str, router: Any) -> tuple[str, str]:
        match router:
            case {"name": str(name), "error": [*words]} if all(isinstance(word, str) for word in words):
                return name, "; ".join(words)
            case {"name": str(name), **others} if "error" not in others:
                return name, ""
        raise self._strange(path, router)

    async def exchange(
        self, session: aiohttp.ClientSession, method: str, path: str, *, data: Any = None, timeout: float
    ) -> tuple[int, bytes]:
        """Send a request for `path` with the body `data`; return status and body of the answer.

        The answer must come within `timeout` seconds. A credential that is refused is a
        :class:`~jhub_kvproxy.errors.TraefikError` here too.
        """
        limit = aiohttp.ClientTimeout(timeout)
        async with self._ask(session, method, path, data=data, timeout=limit) as answer:
            self._check_credential(answer)
            return answer.status, await answer.read()

    async def _get(self, session: aiohttp.ClientSession, path: str, *, absent: object = None) -> Any:
        """The JSON at `path`, parsed. `absent` is returned if the answer is 404, which is an error without it."""
        async with self._ask(session, "GET", path, timeout=_TIMEOUT) as answer:
            if answer.status == 404 and absent is not None:
                return absent
            self._check_credential(answer)
            if answer.status != 200:
                raise TraefikError(f"{self._place}{path} answers {answer.status}; is it Traefik's API?")
            body = await answer.read()
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._strange(path, body) from error

    def _strange(self, path: str, answer: Any) -> TraefikError:
        return TraefikError(
            f"{self.name} does not answer as Traefik does ({path}: {reprlib.repr(answer)}); is it Traefik's API?"
        )

    def _check_credential(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status in (401, 403):
            hint = "" if self._headers.get("Authorization") else "; KVProxy.traefik_api_password is not set"
            raise TraefikError(f"Traefik at {self.name} refuses our credential ({answer.status}{hint})")

    @asynccontextmanager
    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with session.request(
                method, self._place + path, headers=self._headers, server_hostname=self._host, **options
            ) as answer:
                yield answer
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            raise TraefikError(f"Traefik at {self.name} cannot be understood: {error}") from error
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            raise NoAnswer(f"Traefik at {self.name} cannot be reached: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    # The address is in the name of the replica, and aiohttp calls all of it SSL.
    if type(error) is aiohttp.ClientConnectorError and error.os_error.errno:
        return os.strerror(error.os_error.errno).lower()
    return str(error) or type(error).__name__


async def check_versions(apis: Sequence[TraefikAPI]) -> None:
    """Raises :class:`~jhub_kvproxy.errors.TraefikError` when one is too old; skips those that do not answer."""
    async with aiohttp.ClientSession() as session:
        versions = await asyncio.gather(*(api.version(session) for api in apis), return_exceptions=True)
    for api, version in zip(apis, versions, strict=True):
        if isinstance(version, str):
            check_version(version, api.name)
