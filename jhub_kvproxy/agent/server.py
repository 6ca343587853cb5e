"""The agent's own HTTP, for hubs (:mod:`jhub_kvproxy.agents.protocol`), probes and Prometheus."""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..agents.protocol import ACTIVITY, LIVE, METRICS, READY, REVISION, ROUTES, SERVING, STATUS, credential
from ..aio import in_thread
from ..errors import TraefikError
from ..push.plugin import Listing
from .states import States

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PLAIN = "text/plain; version=0.0.4; charset=utf-8"
#: 5000 targets are a quarter of a megabyte.
_MAX_BODY = 1 << 24


class Server:
    """Answers from :meth:`start` to :meth:`close`. Without `states` there is no table, and `uses` alone are told."""

    def __init__(
        self,
        token: str,
        *,
        states: States | None,
        ages: Callable[[str], Awaitable[dict[str, float]]] | None,
        routes: Callable[[str, str, str], Awaitable[Listing]] | None = None,
        uses: Callable[[bytes], Awaitable[dict[str, float]]] | None,
        metrics: Callable[[], bytes],
    ) -> None:
        self._expected = credential(token)["Authorization"].encode()
        self._states = states
        self._ages = ages
        self._routes = routes
        self._uses = uses
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def start(self, ip: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Raises OSError when it cannot listen there."""
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_get(LIVE, self._live)
        app.router.add_get(METRICS, self._tell_metrics)
        app.router.add_get(READY, self._ready)
        app.router.add_get(SERVING, self._serving)
        if self._states:
            app.router.add_get(REVISION, self._secret(self._revision))
            app.router.add_get(STATUS, self._secret(self._status))
        if self._ages:
            app.router.add_get(ACTIVITY, self._secret(self._activity))
        if self._routes:
            app.router.add_get(ROUTES, self._secret(self._tell_routes))
        if self._uses:
            app.router.add_post(ACTIVITY, self._secret(self._kernel_activity))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, ip, port, ssl_context=tls).start()

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    def _secret(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
            if not hmac.compare_digest(given, self._expected):
                return _refusal(403, "The token is not that of this agent (KVProxy.agent_token).")
            return await handler(request)

        return checked

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _ready(self, request: web.Request) -> web.Response:
        """For probes of load balancers, which send users elsewhere as soon as the agent ends."""
        if self._states and self._states.is_ending:
            return web.Response(status=503, text="The agent ends.\n")
        return await self._serving(request)

    async def _serving(self, request: web.Request) -> web.Response:
        """For those who know by themselves that the agent ends: one line for each hub, or for the one asked about."""
        states = self._states
        if states is None:
            return web.Response(text="ready\n")
        hub = request.query.get("hub")
        if hub is not None and hub not in states.hubs:
            return self._unknown(hub)
        hubs = states.hubs if hub is None else [hub]
        lines = [states.condition(each).line for each in hubs]
        return web.Response(status=200 if states.serves(hubs) else 503, text="\n".join([*lines, ""]))

    async def _revision(self, request: web.Request) -> web.Response:
        assert self._states
        hub = request.query.get("hub", "")
        if hub not in self._states.hubs:
            return self._unknown(hub)
        state = await self._states.next_state(hub, request.query.get("seen", ""))
        return web.Response(text=state.to_json(), content_type="application/json")

    async def _status(self, request: web.Request) -> web.Response:
        assert self._states
        return web.json_response(self._states.described())

    async def _activity(self, request: web.Request) -> web.Response:
        assert self._states
        assert self._ages
        hub = request.query.get("hub", "")
        if hub not in self._states.hubs:
            return self._unknown(hub)
        try:
            return web.json_response({"ages": await self._ages(hub)})
        except TraefikError as error:
            return _refusal(502, str(error))

    async def _tell_routes(self, request: web.Request) -> web.Response:
        assert self._states
        assert self._routes
        query = request.query
        hub = query.get("hub", "")
        if hub not in self._states.hubs:
            return self._unknown(hub)
        try:
            listing = await self._routes(hub, query.get("path", ""), query.get("host", ""))
        except TraefikError as error:
            return _refusal(502, str(error))
        return web.Response(text=await in_thread(listing.to_json), content_type="application/json")

    async def _kernel_activity(self, request: web.Request) -> web.Response:
        assert self._uses
        try:
            return web.json_response(await self._uses(await request.read()))
        except (ValueError, web.RequestPayloadError):
            return _refusal(400, "The body must be a list of targets.")

    async def _tell_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": _PLAIN})

    def _unknown(self, hub: str) -> web.Response:
        hubs = ", ".join(map(repr, self._states.hubs if self._states else ()))
        return _refusal(404, f"This agent follows {hubs} (Agent.hubs), and not {hub!r}.")


def _refusal(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
