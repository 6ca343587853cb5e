"""For drivers of stores on a network: options for TLS and time limits, and HTTP with failover."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from traitlets import Float, Unicode

from jhub_kvproxy import Backend, BackendRejected, BackendUnavailable, Backoff, in_thread

#: OpenSSL's names of the alerts that a server sends if it refuses a client's certificate (RFC 8446, section 6.2).
_OUR_CERTIFICATE = re.compile(r"ALERT_(\w*CERTIFICATE|UNKNOWN_CA)")


class NetworkBackend(Backend):
    """Base class for stores on a network."""

    timeout = Float(10.0, config=True, help="Seconds that one call to the store may take, retries included.")
    ca_file = Unicode(
        config=True,
        help="""
        File with the certificates of the authorities that may have signed the store's certificate (PEM).

        By default, those that the machine trusts. Traefik reads the file too.
        """,
    )
    cert_file = Unicode(
        config=True,
        help="File with the client certificate that the Hub and Traefik show to the store (PEM).",
    )
    key_file = Unicode(config=True, help="File with the private key of `cert_file` (PEM).")

    async def tls_context(self) -> ssl.SSLContext:
        """The options for TLS as a context. Raises BackendRejected when one of their files cannot be used."""
        # In a thread: to read all authorities of the machine takes longer than the event loop may wait.
        return await in_thread(self._tls_context)

    def _tls_context(self) -> ssl.SSLContext:
        cls = type(self).__name__
        if bool(self.cert_file) != bool(self.key_file):
            raise BackendRejected(f"{cls}.cert_file and {cls}.key_file belong together: set both, or neither.")
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:  # ssl.SSLError is one
            raise BackendRejected(f"{cls}.ca_file = {self.ca_file!r} cannot be used: {error}.") from error
        if self.cert_file:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password=_no_passphrase)
            except OSError as error:
                raise BackendRejected(
                    f"{cls}.cert_file = {self.cert_file!r} with {cls}.key_file = {self.key_file!r} "
                    f"cannot be used: {error}."
                ) from error
        return context

    def traefik_tls(self) -> dict[str, Any]:
        """The same options for Traefik, to go beside a provider's `endpoints` (Traefik docs, "tls")."""
        files = {"ca": self.ca_file, "cert": self.cert_file, "key": self.key_file}
        tls = {name: str(Path(file).absolute()) for name, file in files.items() if file}
        # Traefik refuses an empty table.
        return {"tls": tls or {"insecureSkipVerify": False}}


def _no_passphrase() -> str:
    # Without this, OpenSSL would ask on the terminal.
    raise OSError("the key needs a passphrase, which Traefik cannot give")


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer."""

    status: int
    headers: Any
    body: bytes
    url: str


class HTTPServers:
    """Servers of one API. A request goes to the one that answered last, and then to the others.

    Raises :class:`~jhub_kvproxy.BackendUnavailable` when none answers within `timeout` seconds, and
    :class:`~jhub_kvproxy.BackendRejected` when TLS fails with all of them, since another try would fail too. Error
    messages call the store `name`, and ask whether what `ca` and `client` name is right, if TLS fails.
    """

    def __init__(
        self,
        name: str,
        urls: Sequence[str],
        *,
        timeout: float,
        tls: ssl.SSLContext | None,
        ca: str = "ca_file",
        client: str = "cert_file and key_file",
    ) -> None:
        self._name = name
        self._option = f"{name.capitalize()}Backend.timeout"
        self.urls = list(urls)
        self._timeout = timeout
        self._tls = tls
        self._ca, self._client = ca, client
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    @property
    def session(self) -> aiohttp.ClientSession:
        """For requests that :meth:`ask` cannot make, such as streams. :meth:`close` closes it."""
        if self._is_closed:
            raise BackendUnavailable(f"The connections to {self._name} are closed.")
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        return self._session

    async def close(self) -> None:
        """Close all connections for good. Requests under way fail. Calling it twice is harmless."""
        self._is_closed = True
        session, self._session = self._session, None
        if session:
            await session.close()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        again: bool,
        is_transient: Callable[[Answer], bool] = lambda _: False,
        deadline: float | None = None,
        **options: Any,
    ) -> Answer:
        """Send a request to one server after the other until one answers. `options` are those of aiohttp.

        With `again`, it is sent again after a failure, and after an answer that `is_transient`. Without, it is sent
        again only if it did not reach a server, because there was no connection.

        A call that makes several requests gives the `deadline` of all, on the clock of :func:`time.monotonic`.
        """
        if deadline is None:
            deadline = time.monotonic() + self._timeout
        backoff = Backoff(0.05, 1.0, spread=0.5)
        while True:
            refusals = []
            asked_pause = 0.0
            for url in list(self.urls):
                failure: Exception | None = None
                try:
                    answer = await self._ask_one(method, url, path, deadline, again, options)
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    failure, words = error, f"{self._name} at {url} {_description(error)}"
                    self._prefer_others(url)
                    if tls_words := self._tls_description(error):
                        refusals.append(f"{self._name} at {url}: {tls_words}.")
                    elif not (again or _is_unsent(error)):
                        raise BackendUnavailable(words + ".") from error
                else:
                    if not (again and is_transient(answer)):
                        return answer
                    asked_pause = max(asked_pause, retry_after(answer))
                    if time.monotonic() > deadline - max(backoff.next, asked_pause):
                        return answer
                    words = f"{self._name} at {url} answered {answer.status}"
                    self._prefer_others(url)
            if len(refusals) == len(self.urls):
                raise BackendRejected(refusals[0]) from failure
            if time.monotonic() + max(backoff.next, asked_pause) > deadline:
                raise BackendUnavailable(f"{words}. Tried for {self._timeout:g} s ({self._option}).") from failure
            await asyncio.sleep(max(backoff.grow(), asked_pause))

    async def _ask_one(
        self, method: str, url: str, path: str, deadline: float, again: bool, options: dict[str, Any]
    ) -> Answer:
        # If one server is frozen, there must be time left for the others.
        limit = min(self._timeout / len(self.urls), max(deadline - time.monotonic(), 0.001))
        timeout = aiohttp.ClientTimeout(total=limit, sock_connect=limit / 2)
        middlewares = () if again else (_send_once,)
        async with self.session.request(
            method, url + path, timeout=timeout, middlewares=middlewares, **options
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read(), url)

    def _prefer_others(self, url: str) -> None:
        self.urls.remove(url)
        self.urls.append(url)

    def _tls_description(self, error: Exception) -> str:
        """What is wrong with TLS; empty if it is not TLS."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return f"its certificate is not accepted ({error.certificate_error}); is {self._ca} the right one"
        if _OUR_CERTIFICATE.search(str(error)):
            return f"it refuses our client certificate, or requires one ({error}); are {self._client} right"
        if isinstance(error, aiohttp.ClientConnectorSSLError):
            return f"the TLS handshake failed ({error.os_error})"
        return ""


def retry_after(answer: Answer) -> float:
    """Seconds that a server asks us to wait, by Retry-After; 0 if it does not say."""
    try:
        return max(0.0, float(answer.headers.get("Retry-After", 0)))  # in this order, nan is 0
    except ValueError:  # a date, which no store sends
        return 0.0


class _BrokenOff(aiohttp.ClientError):
    """The connection broke before the answer came. The server may or may not have got the request."""


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating requests that it takes for idempotent, such as any PUT (its ``client.py``)."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenOff(str(error)) from error


def http_url(trait: str, url: str, default_port: int, *, credentials_go_to: str, may_have_path: bool = False) -> str:
    """`url` with a port, without a trailing slash. Raises BackendRejected, which names `trait`, for other URLs."""
    try:
        parts = urlsplit(url)
        port = parts.port or default_port
    except ValueError:  # its text may contain a part of a password
        raise BackendRejected(f"{trait}: a URL in it is not valid; write it like {_example(default_port)}.") from None
    if "@" in parts.netloc:
        raise BackendRejected(f"{trait} must not hold a user name or password; put them into {credentials_go_to}.")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise BackendRejected(f"{trait}: {url!r} is not an HTTP URL; write it like {_example(default_port)}.")
    path = parts.path.rstrip("/")
    if path and not may_have_path:
        raise BackendRejected(f"{trait}: {url!r} must not have a path, which Traefik could not use.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}{path}"


def _example(port: int) -> str:
    return f"https://localhost:{port}"


def _is_unsent(error: Exception) -> bool:
    """Whether the request did not reach a server, because there was no connection."""
    # aiohttp raises ServerTimeoutError for several time limits. Only the one for connecting is set.
    return isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError))


def _description(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be reached ({error.os_error.strerror or repr(error.os_error)})"
    return f"broke the connection off ({str(error) or type(error).__name__})"
