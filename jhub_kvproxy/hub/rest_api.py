"""configurable-http-proxy's REST API, as its version 5.3 answers (lib/configproxy.js, handleApiRequest)."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import web

from ..aio import in_thread, to_the_end
from ..errors import BackendError, KVProxyError, RouteNotReady
from ..routing.described import FOREIGN
from .dates import read_time
from .routes import Routes

ROUTES = "/api/routes"
_MAX_BODY = 1 << 20
Described = Mapping[str, Any]


class RESTAPI:
    """Serves `routes` from :meth:`start` to :meth:`close`, to whoever has `token`; with `writes`, also changes of them.

    With `host_routing`, the first segment of each path is a host.
    """

    def __init__(self, routes: Routes, token: str, *, writes: bool, host_routing: bool, log: Any) -> None:
        self._routes = routes
        self._host_routing = host_routing
        self._token = token.encode()
        self._writes = writes
        self._log = log
        self._runner: web.AppRunner | None = None

    async def start(self, ip: str, port: int) -> None:
        """Raises :class:`~jhub_kvproxy.errors.KVProxyError` when it cannot be."""
        if not self._token:
            raise KVProxyError(
                "The REST API (KVProxy.rest_api_port) needs a token: set CONFIGPROXY_AUTH_TOKEN in the environment of "
                "the Hub, or KVProxy.rest_api_token."
            )
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:(?s:.*)}", self._answer)
        # Compressed bodies are no JSON, as for configurable-http-proxy.
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1, auto_decompress=False
        )
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, ip, port)
            # When it is cancelled, asyncio may listen all the same, and nobody could end that.
            await to_the_end(asyncio.ensure_future(site.start()))
        except OSError as error:
            await self.close()
            # asyncio's own text repeats the address; a name server's errors have numbers below 0.
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else error.strerror or error
            raise KVProxyError(
                f"The REST API cannot listen on port {port} of {ip}: {why}; change KVProxy.rest_api_port or "
                "KVProxy.rest_api_ip."
            ) from error

    async def close(self) -> None:
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.rel_url.raw_path
        if path != ROUTES and not path.startswith(ROUTES + "/"):
            return _fail(HTTPStatus.NOT_FOUND)
        methods: dict[str, Callable[[web.Request, str], Awaitable[web.Response]]] = {
            "GET": self._get,
            "POST": self._post,
            "DELETE": self._delete,
        }
        if request.method not in methods:
            return _fail(HTTPStatus.METHOD_NOT_ALLOWED, "Method not supported")
        if not self._is_authorized(request.headers.get("Authorization", "")):
            return web.Response(status=403)
        if request.method != "GET" and not self._writes:
            return _fail(HTTPStatus.FORBIDDEN, "Routes can only be read here, unless KVProxy.rest_api_writes is True")
        try:
            return await methods[request.method](request, unquote(path.removeprefix(ROUTES)))
        except (RouteNotReady, BackendError) as error:
            self._log.error("REST API: %s %s failed: %s", request.method, path, error)
            return _fail(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except web.RequestPayloadError:
            return _fail(HTTPStatus.BAD_REQUEST, "Body cannot be read")
        except ValueError as error:
            return _fail(HTTPStatus.BAD_REQUEST, str(error))

    def _is_authorized(self, header: str) -> bool:
        found = re.search(r"token\s+(\S+)", header)
        return found is not None and hmac.compare_digest(found[1].encode(errors="surrogateescape"), self._token)

    async def _get(self, request: web.Request, path: str) -> web.Response:
        if path.strip("/"):
            route = await self._routes.one(self._routespec(path))
            return _json(as_chp(route)) if route else web.Response(status=404)
        asked = request.query.get("inactiveSince") or request.query.get("inactive_since")
        since = None
        if asked:
            try:
                since = read_time(asked)
            except ValueError:
                return _fail(HTTPStatus.BAD_REQUEST, f"Invalid datestamp '{asked}' must be ISO8601.")
        routes = await self._routes.all()
        return await in_thread(_json_of_all, routes, since)

    async def _post(self, request: web.Request, path: str) -> web.Response:
        try:
            body = json.loads(await request.read() or b"null") or {}
        except (ValueError, RecursionError) as error:
            return _fail(HTTPStatus.BAD_REQUEST, f"Body not valid JSON: {error}")
        if not isinstance(body, dict) or not isinstance(body.get("target"), str):
            return _fail(HTTPStatus.BAD_REQUEST, "Must specify 'target' as string")
        await self._routes.add(self._routespec(path), body.pop("target"), from_chp(body))
        return web.Response(status=201)

    async def _delete(self, request: web.Request, path: str) -> web.Response:
        routespec = self._routespec(path)
        if not await self._routes.one(routespec):
            return web.Response(status=404)
        await self._routes.delete(routespec)
        return web.Response(status=204)

    def _routespec(self, path: str) -> str:
        """The routespec of `path`, which is decoded, as JupyterHub writes it for such a path."""
        host, _, path = path.strip("/").partition("/") if self._host_routing else ("", "", path.strip("/"))
        return host + quote(f"/{path}", safe="@/~").rstrip("/") + "/"


def as_chp(route: Described) -> dict[str, Any]:
    """What `route` of ``get_all_routes`` is in the API."""
    data = dict(route["data"])
    if not data.pop(FOREIGN, False):
        data.setdefault("jupyterhub", True)
    host = route["routespec"].partition("/")[0]
    return {**data, "target": route["target"], **({"host": host} if host else {})}


def from_chp(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a route as JupyterHub would give it, from what a tool sent, less the target."""
    ours = {key: value for key, value in data.items() if key not in ("last_activity", FOREIGN)}
    # For JupyterHub the key alone says that a route is its own (ConfigurableHTTPProxy.get_all_routes).
    if "jupyterhub" not in ours:
        ours[FOREIGN] = True
    elif ours["jupyterhub"] is True:
        del ours["jupyterhub"]
    return ours


def path_of(routespec: str) -> str:
    """What the API calls `routespec`: decoded, without the slash at its end, the host as a first segment."""
    return "/" + unquote(routespec).strip("/")


def _json_of_all(routes: Mapping[str, Described], inactive_since: float | None) -> web.Response:
    found = {path_of(spec): as_chp(route) for spec, route in routes.items()}
    if inactive_since is not None:
        found = {path: route for path, route in found.items() if _is_inactive(route, inactive_since)}
    return _json(found)


def _is_inactive(route: Mapping[str, Any], since: float) -> bool:
    try:
        return read_time(route["last_activity"]) < since
    except (KeyError, TypeError, ValueError):  # not known; without KVProxy.activity it is what a route was added with
        return False


def _json(value: Any) -> web.Response:
    return web.Response(text=json.dumps(value, separators=(",", ":")), content_type="application/json")


def _fail(status: HTTPStatus, text: str = "") -> web.Response:
    return web.Response(status=status, text=text or status.phrase)
