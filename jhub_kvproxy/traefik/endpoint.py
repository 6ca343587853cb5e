"""Speaks HTTP with one program of one replica: Traefik, or the agent beside it."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp

from ..errors import TraefikError


class NoAnswer(TraefikError):
    """No program answers at the URL, or none in time."""


class Endpoint:
    """Where the program answers, and with which headers it is asked.

    Methods raise :class:`NoAnswer` when there is no answer, and :class:`~jhub_kvproxy.errors.TraefikError` for one that
    cannot be understood. The caller owns the session. With `address`, an IP address, requests go there, with the host
    name of `url`. `tls` is for ``https``; None: the system's certificate authorities count.
    """

    #: The program, and what its URL leads to, as parts of sentences.
    program: ClassVar[str]
    kind: ClassVar[str]
    #: An example of its URL.
    example: ClassVar[str]
    #: The options that its credential comes from.
    credential: ClassVar[str]

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        address: str = "",
        tls: ssl.SSLContext | None = None,
        label: str = "",
    ) -> None:
        self._tls = tls
        self._label = label
        self._point(url, headers, address)

    def _point(self, url: str, headers: Mapping[str, str], address: str) -> None:
        """From now on, ask at this URL."""
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TraefikError(f"{url!r} is not the URL of {self.kind}; write it like {self.example}.")
        if "@" in parts.netloc:
            raise TraefikError(
                f"The URL of {self.kind} at {parts.netloc.rpartition('@')[2]} has a user name in it, which would be "
                f"in every log; set {self.credential}."
            )
        self._headers = dict(headers)
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

    @property
    def label(self) -> str:
        """Names the replica in metrics: one that moves keeps this name."""
        return self._label or self.name

    @property
    def title(self) -> str:
        """The replica, as a sentence about it begins."""
        return f"{self.program} at {self.name}"

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

    def _check_credential(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status in (401, 403):
            what = (
                "refuses our credential" if "Authorization" in self._headers else "needs a credential, and none is set"
            )
            raise TraefikError(f"{self.title} {what} ({answer.status}); look at {self.credential}")

    @asynccontextmanager
    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with session.request(
                method,
                self._place + path,
                headers=self._headers,
                server_hostname=self._host,
                ssl=self._tls or True,
                **options,
            ) as answer:
                yield answer
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            raise TraefikError(f"{self.title} cannot be understood: {error}") from error
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            raise NoAnswer(f"{self.title} cannot be reached: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    # The address is in the name of the replica, and aiohttp calls all of it SSL.
    if type(error) is aiohttp.ClientConnectorError and error.os_error.errno:
        return os.strerror(error.os_error.errno).lower()
    return str(error) or type(error).__name__
