"""What we ask of Traefik's API (Traefik docs, "API & Dashboard: Endpoints")."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ..errors import TraefikError
from ..table import REVISION_HEADER, REVISION_NAME
from .binary import check_version

# An answer takes a millisecond; a replica that needs this long is as good as down.
_TIMEOUT = aiohttp.ClientTimeout(total=3)
_CHUNK = 1 << 16


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
        return str((await self._get(session, "/api/version"))["Version"])

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

    async def hand(self, session: aiohttp.ClientSession, document: bytes, timeout: float) -> None:
        """Give the replica a table, in place of the one before, within `timeout` seconds; it sends the table back.

        (Traefik docs, "REST provider".)
        """

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(document), _CHUNK):
                yield document[start : start + _CHUNK]

        path = "/api/providers/rest"
        async with self._ask(session.put, path, data=chunks(), timeout=aiohttp.ClientTimeout(timeout)) as answer:
            if answer.status == 404:
                raise TraefikError(
                    f"Traefik at {self.name} takes no tables (404 for {path}); it needs the `rest` provider, "
                    "and a router on its API's entry point to the service rest@internal"
                )
            self._check(answer, path)
            async for _ in answer.content.iter_any():
                pass

    async def _get(self, session: aiohttp.ClientSession, path: str, *, absent_is_none: bool = False) -> Any:
        async with self._ask(session.get, path, timeout=_TIMEOUT) as answer:
            if answer.status == 404 and absent_is_none:
                return None
            self._check(answer, path)
            return await answer.json()

    def _check(self, answer: aiohttp.ClientResponse, path: str) -> None:
        if answer.status in (401, 403):
            raise TraefikError(f"Traefik at {self.name} refuses our credential ({answer.status})")
        if answer.status != 200:
            raise TraefikError(f"{self._place}{path} answers {answer.status}; is it Traefik's API?")

    @asynccontextmanager
    async def _ask(
        self, method: Callable[..., Any], path: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with method(
                self._place + path, headers=self._headers, server_hostname=self._host, **options
            ) as answer:
                yield answer
        except (aiohttp.ClientPayloadError, aiohttp.ContentTypeError, json.JSONDecodeError) as error:
            raise TraefikError(f"Traefik at {self.name} cannot be understood: {error}") from error
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            raise NoAnswer(f"Traefik at {self.name} cannot be asked: {why}") from error


async def check_versions(apis: Sequence[TraefikAPI]) -> None:
    """Raises :class:`~jhub_kvproxy.errors.TraefikError` when one is too old; one that does not answer is passed by."""
    async with aiohttp.ClientSession() as session:
        versions = await asyncio.gather(*(api.version(session) for api in apis), return_exceptions=True)
    for api, version in zip(apis, versions, strict=True):
        if isinstance(version, str):
            check_version(version, api.name)
