"""What we ask of Traefik's API (Traefik docs, "API & Dashboard: Endpoints")."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ..errors import TraefikError
from ..routing.records import REVISION_HEADER, REVISION_NAME
from .binary import check_version

# An answer takes a millisecond; a replica that needs this long is as good as down.
_TIMEOUT = aiohttp.ClientTimeout(total=3)


class NoAnswer(TraefikError):
    """Nobody answers there, or not in time."""


class TraefikAPI:
    """The API of one replica.

    Every method raises :class:`~jhub_kvproxy.errors.TraefikError` when the replica does not answer as
    Traefik does; :class:`NoAnswer` when nobody does. `session` is the caller's, to be reused and closed.
    With `address`, an IP address, it is asked there, by the host name in `url`.
    """

    def __init__(self, url: str, username: str = "", password: str = "", *, address: str = "") -> None:
        self.move(url, username, password, address=address)

    def move(self, url: str, username: str = "", password: str = "", *, address: str = "") -> None:
        """From now on the replica is asked there, with that credential."""
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
        #: What tells it from other replicas.
        self.name = f"{self.url} at {address}" if address else self.url
        self._place = self.url
        #: Whom a certificate must be for.
        self._host: str | None = None
        if address:
            port = f":{parts.port}" if parts.port else ""
            self._place = parts._replace(netloc=f"[{address}]{port}" if ":" in address else address + port).geturl()
            self._host = parts.hostname
            self._headers["Host"] = f"{parts.hostname}{port}"

    async def version(self, session: aiohttp.ClientSession) -> str:
        """Traefik's version, such as ``3.7.15``."""
        try:
            return str((await self._get(session, "/api/version"))["Version"])
        except (LookupError, TypeError) as error:
            raise TraefikError(f"{self.name} does not answer as Traefik does ({error!r})") from error

    async def revision(self, session: aiohttp.ClientSession, provider: str) -> str | None:
        """The revision of the routing table that the replica serves; None: it has loaded none yet."""
        path = f"/api/http/middlewares/{REVISION_NAME}@{provider}"
        answer = await self._get(session, path, absent_is_none=True)
        if answer is None:
            return None
        return str(answer["headers"]["customResponseHeaders"][REVISION_HEADER])

    async def errors(self, session: aiohttp.ClientSession) -> dict[str, str]:
        """Traefik's own words about each router that it does not serve, by the router's name with its provider."""
        overview = await self._get(session, "/api/overview")
        if not overview["http"]["routers"]["errors"]:
            return {}
        disabled = await self._get(session, "/api/http/routers?status=disabled&per_page=10000")
        return {router["name"]: "; ".join(router.get("error", ())) for router in disabled}

    async def exchange(
        self, session: aiohttp.ClientSession, method: str, path: str, *, data: Any = None, timeout: float
    ) -> tuple[int, bytes]:
        """Status and body of the answer to a request for `path`, within `timeout` seconds; `data` is its body.

        A credential that is refused is a :class:`~jhub_kvproxy.errors.TraefikError` here too.
        """
        limit = aiohttp.ClientTimeout(timeout)
        async with self._ask(session, method, path, data=data, timeout=limit) as answer:
            self._check_credential(answer)
            return answer.status, await answer.read()

    async def _get(self, session: aiohttp.ClientSession, path: str, *, absent_is_none: bool = False) -> Any:
        async with self._ask(session, "GET", path, timeout=_TIMEOUT) as answer:
            if answer.status == 404 and absent_is_none:
                return None
            self._check_credential(answer)
            if answer.status != 200:
                raise TraefikError(f"{self._place}{path} answers {answer.status}; is it Traefik's API?")
            return await answer.json()

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
        except (aiohttp.ClientPayloadError, aiohttp.ContentTypeError, json.JSONDecodeError) as error:
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
    """Raises :class:`~jhub_kvproxy.errors.TraefikError` when one is too old; one that does not answer is passed by."""
    async with aiohttp.ClientSession() as session:
        versions = await asyncio.gather(*(api.version(session) for api in apis), return_exceptions=True)
    for api, version in zip(apis, versions, strict=True):
        if isinstance(version, str):
            check_version(version, api.name)
