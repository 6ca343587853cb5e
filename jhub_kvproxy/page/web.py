"""The page's HTTP. Who may see it is JupyterHub's to say: those with the scope ``access:services`` for this service.

JupyterHub brings Tornado: its HubOAuth is made for Tornado's handlers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated, UserNotAllowed
from jupyterhub.utils import url_path_join
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler, authenticated

from .._version import __version__
from ..errors import KVProxyError
from .lookout import Lookout
from .view import View

_FILES = Path(__file__).parent
#: Seconds after which a viewer who takes nothing is given up, and without news after which the stream says a word.
_PATIENCE, _SILENCE = 20.0, 10.0
#: Bytes that a viewer must take in that time: what is told of a long table comes in so many parts.
_PART = 1 << 16
#: Seconds between two questions to the hub whether the viewer may still look on.
_RECHECK = 60.0
#: A URL is shorter.
_MAX_BODY = 1 << 16
_PORTS = {"http": 80, "https": 443}


#: What becomes of a request for a URL, as JSON.
Trace = Callable[[str], Awaitable[dict[str, Any]]]


class PageError(KVProxyError):
    """The page cannot be served."""


@asynccontextmanager
async def serving(lookout: Lookout, trace: Trace, log: Any) -> AsyncIterator[None]:
    """Answer where JupyterHub's environment says; `trace` follows a URL. Raises :class:`PageError`."""
    url = os.environ.get("JUPYTERHUB_SERVICE_URL", "")
    if not url or not os.environ.get("JUPYTERHUB_API_TOKEN"):
        raise PageError(
            "The page is a service of JupyterHub, which starts it with JUPYTERHUB_SERVICE_URL, JUPYTERHUB_API_TOKEN "
            "and more in its environment: add it to c.JupyterHub.services."
        )
    auth = HubOAuth.instance()
    address = urlsplit(url)
    host, port = address.hostname or "127.0.0.1", address.port or _PORTS.get(address.scheme, 80)
    server = HTTPServer(_application(lookout, trace, auth), max_body_size=_MAX_BODY)
    try:
        server.listen(port, host)
    except OSError as error:
        raise PageError(f"The page cannot listen at {host}:{port} (the service's url): {error.strerror}.") from error
    log.info("The page is at %s, for those who may use the service %s.", auth.base_url, auth.oauth_client_id)
    try:
        yield
    finally:
        server.stop()
        await server.close_all_connections()


def _application(lookout: Lookout, trace: Trace, auth: HubOAuth) -> Application:
    prefix = auth.base_url
    return Application(
        [
            (prefix, _Page),
            (url_path_join(prefix, "events"), _Events),
            (url_path_join(prefix, "trace"), _Tracer),
            (url_path_join(prefix, "oauth_callback"), _Callback),
        ],
        default_handler_class=_NotFound,
        static_handler_class=_Static,
        static_path=str(_FILES / "static"),
        static_url_prefix=url_path_join(prefix, "static/"),
        template_path=str(_FILES),
        # Who had a cookie of an earlier process gets a new one from JupyterHub, and notices nothing.
        cookie_secret=os.urandom(32),
        xsrf_cookies=True,
        log_function=lambda handler: None,
        lookout=lookout,
        trace=trace,
    )


def _set_security_headers(handler: RequestHandler) -> None:
    hub = HubOAuth.instance().hub_host
    handler.set_header(
        "Content-Security-Policy",
        f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' {hub}".rstrip()
        + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    handler.set_header("X-Content-Type-Options", "nosniff")
    handler.set_header("Referrer-Policy", "same-origin")
    handler.clear_header("Server")


class _Ours(RequestHandler):
    """Says in plain text what went wrong, and has headers that keep others' scripts out."""

    def set_default_headers(self) -> None:
        _set_security_headers(self)
        self.set_header("Cache-Control", "no-store")

    def write_error(self, status_code: int, **details: Any) -> None:
        error = details.get("exc_info", (None, None))[1]
        why = {
            403: "You may not see this page. JupyterHub's admins may, and those to whom a role gives the scope "
            "access:services for this service.",
            404: "There is no such page.",
        }.get(status_code, f"{self._reason}.")
        if isinstance(error, HTTPError) and error.log_message and status_code >= 500:
            why = f"{error.log_message} Try again when JupyterHub is back; meanwhile, run jhub-kvproxy status."
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{why}\n")


class _NotFound(_Ours):
    def prepare(self) -> None:
        raise HTTPError(404)


class _Guarded(HubOAuthenticated, _Ours):  # type: ignore[misc]
    async def prepare(self) -> None:
        # It is kept for the request. Without this, get_current_user would hold up all others while the hub answers.
        await self.hub_auth.get_user(self, sync=False)


class _Callback(HubOAuthCallbackHandler, _Ours):  # type: ignore[misc]
    pass


class _Page(_Guarded):
    @authenticated
    def get(self) -> None:
        auth = self.hub_auth
        self.render(
            "page.html",
            hub=auth.hub_host + auth.hub_prefix,
            base=auth.base_url,
            user=self.current_user["name"],
            version=__version__,
        )


class _Events(_Guarded):
    """The views, as server-sent events, until the viewer leaves."""

    async def get(self) -> None:
        if not self.current_user:
            raise HTTPError(403)
        self.set_header("Content-Type", "text/event-stream")
        # nginx would hold them back.
        self.set_header("X-Accel-Buffering", "no")
        lookout: Lookout = self.settings["lookout"]
        with lookout.looked_on(), contextlib.suppress(StreamClosedError):
            await self._show(lookout)

    async def _show(self, lookout: Lookout) -> None:
        seen: View | None = None
        checked = time.monotonic()
        while True:
            if time.monotonic() - checked > _RECHECK:
                if not await self._may_look_on():
                    return
                checked = time.monotonic()
            view = await lookout.next(seen, _SILENCE)
            if not await self._takes(b": nothing new\n\n" if view is None else await lookout.told(seen, view)):
                cast(HTTP1Connection, self.request.connection).stream.close()
                return
            seen = view or seen

    async def _takes(self, text: bytes) -> bool:
        """Whether the viewer takes `text`, however slowly."""
        for start in range(0, len(text), _PART):
            self.write(text[start : start + _PART])
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self.flush()
            except TimeoutError:
                return False
        return True

    async def _may_look_on(self) -> bool:
        auth = self.hub_auth
        try:
            user = await auth.user_for_token(
                auth.get_token(self), use_cache=False, session_id=auth.get_session_id(self), sync=False
            )
            return bool(user and self.check_hub_user(user))
        except UserNotAllowed:
            return False
        except HTTPError as error:
            # The hub is away, which is when people look: what is before it says so, or another error, the cause of
            # this one, that nothing answers. JupyterHub raises the same for a hub that refuses, but with no cause.
            return error.status_code == 502 or error.__context__ is not None


class _Tracer(_Guarded):
    """Follows a URL: it sends requests, so that another site's link must not do it."""

    async def post(self) -> None:
        if not self.current_user:
            raise HTTPError(403)
        try:
            url = self.request.body.decode()
        except UnicodeDecodeError as error:
            raise HTTPError(400) from error
        self.finish(await self.settings["trace"](url.strip()))


class _Static(StaticFileHandler):
    def set_default_headers(self) -> None:
        _set_security_headers(self)
