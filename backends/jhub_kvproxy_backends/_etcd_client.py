"""etcd's JSON API over HTTP, with a token that is renewed (etcd docs, "gRPC gateway")."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import aiohttp

from jhub_kvproxy import BackendError, BackendUnavailable

from ._etcd_errors import AuthDisabled, StaleToken, is_transient, parsed
from ._network import HTTPServers

Message = Mapping[str, Any]


class EtcdClient:
    """Sends requests to the etcds at `urls`, as `username` if that is not empty.

    `root` and `access` are for error messages: which keys we use, and how.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout: float,
        tls: ssl.SSLContext | None,
        username: str,
        password: str,
        root: str,
        access: str,
    ) -> None:
        self._http = HTTPServers("etcd", urls, timeout=timeout, tls=tls)
        self._timeout = timeout
        self._username = username
        self._password = password
        self._root = root
        self._access = access
        #: Empty if etcd needs none; None before we have asked for one.
        self._token: str | None = None
        self._authenticating = asyncio.Lock()

    @property
    def url(self) -> str:
        """The server that is asked next. It is also the one that answered last."""
        return self._http.urls[0]

    @property
    def has_auth(self) -> bool:
        """Whether etcd knew the user when it was last asked."""
        return bool(self._token)

    def deadline(self) -> float:
        """When a call that begins now must end, on the clock of :func:`time.monotonic`."""
        return time.monotonic() + self._timeout

    async def close(self) -> None:
        self._token = None
        await self._http.close()

    async def ask(self, path: str, message: Message, *, again: bool, deadline: float) -> dict[str, Any]:
        """etcd's answer. `again` is as in :meth:`HTTPServers.ask`. Raises a BackendError if etcd refuses."""
        try:
            return await self._ask_once(path, message, again, deadline)
        except StaleToken:
            return await self._ask_once(path, message, again, deadline)

    async def stream(self, path: str, message: Message) -> AsyncGenerator[bytes, None]:
        """The lines of a streamed answer, from the server at :attr:`url`."""
        headers = _authorized(await self._valid_token(self.deadline()))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout)
        url = self.url
        try:
            async with self._http.session.post(url + path, json=message, headers=headers, timeout=timeout) as answer:
                if answer.status != 200:
                    raise BackendUnavailable(f"etcd at {url} answered {answer.status}.")
                line = bytearray()
                # A line may be longer than aiohttp's own reader accepts.
                async for chunk in answer.content.iter_any():
                    *complete, rest = chunk.split(b"\n")
                    for part in complete:
                        line += part
                        yield bytes(line)
                        line.clear()
                    line += rest
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # RuntimeError: we have closed the connection
            raise BackendUnavailable(
                f"etcd at {url} broke the watch off ({str(error) or type(error).__name__})."
            ) from error

    async def version(self) -> str:
        """The version of the etcd at :attr:`url`; empty if it does not say."""
        try:
            return str(json.loads((await self._http.ask("GET", "/version", again=True)).body)["etcdserver"])
        except (BackendError, ValueError, LookupError, TypeError, RecursionError):
            return ""

    async def _ask_once(self, path: str, message: Message, again: bool, deadline: float) -> dict[str, Any]:
        token = await self._valid_token(deadline)
        try:
            return await self._post(path, message, token=token, again=again, deadline=deadline)
        except BackendUnavailable:
            # Get a new token, even if etcd did not answer: some versions drop the connection when a token has expired.
            if self._token == token:
                self._token = None
            raise

    async def _valid_token(self, deadline: float) -> str:
        if not self._username:
            return ""
        async with self._authenticating:
            if self._token is None:
                message = {"name": self._username, "password": self._password}
                path = "/v3/auth/authenticate"
                try:
                    answer = await self._post(path, message, token="", again=True, deadline=deadline)
                except AuthDisabled:
                    answer = {}
                self._token = str(answer.get("token", ""))
            return self._token

    async def _post(self, path: str, message: Message, *, token: str, again: bool, deadline: float) -> dict[str, Any]:
        answer = await self._http.ask(
            "POST",
            path,
            again=again,
            is_transient=is_transient,
            deadline=deadline,
            json=message,
            headers=_authorized(token),
        )
        return parsed(answer, root=self._root, username=self._username, access=self._access)


def _authorized(token: str) -> dict[str, str]:
    return {"Authorization": token} if token else {}


def encoded(text: str) -> str:
    """`text` as the API encodes keys and values."""
    return base64.b64encode(text.encode()).decode()


def revision_of(answer: Message) -> int:
    """The revision of the store when it gave `answer`."""
    return int(answer["header"]["revision"])
