"""KVProxy: JupyterHub's Proxy API, wired to a writer, a backend and Traefik."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyterhub.metrics import PROXY_POLL_DURATION_SECONDS
from jupyterhub.proxy import Proxy
from traitlets import TraitType

from ..activity.told import ToldActivity
from ..activity.tracker import Activity
from ..errors import BackendError, RouteNotReady, TraefikError
from ..metrics import GAUGES, Source
from ..push.journal import Journal
from ..push.keepers import Keepers
from ..push.pusher import Pusher
from ..push.readiness import Readiness
from ..push.wire import form_of
from ..routing.described import LastUse, described, described_by_routespec, never, without_last_activity
from ..routing.records import Table
from ..routing.revision import Revision
from ..routing.routes import Pattern, Route
from ..store.contract import Backend
from ..store.guard import Guard
from ..store.lease import Lease
from ..store.opening import open_store
from ..store.reconciler import Committed, StoredTable
from ..store.writer import Writer
from ..traefik.api import TraefikAPI, check_versions
from ..traefik.discovery import Discovery
from ..traefik.local import LocalReplicas
from ..traefik.renewal import Renewal
from ..traefik_routers.poller import Poller
from ..traefik_routers.table import Routing, RoutingTable
from ..traefik_routers.throttle import Pace
from .launching import launch_of
from .options.activity import ActivityOptions
from .options.forwarded import ForwardedOptions
from .options.front import FrontOptions
from .options.metrics import MetricsOptions
from .options.rest_api import RESTAPIOptions
from .options.routes import RouteOptions
from .options.routing import Delivery, RoutingOptions
from .options.store import StoreOptions
from .options.tls import TLSOptions
from .options.traefik import TraefikOptions
from .options.upstream import UpstreamOptions
from .rest_api import RESTAPI, is_foreign

_LONGEST_PACE = 5.0
# A router that Traefik refuses in so many lists of a store one after another is wrong.
_LOOKS = 4


class KVProxy(
    StoreOptions,
    TraefikOptions,
    RoutingOptions,
    TLSOptions,
    FrontOptions,
    ForwardedOptions,
    RouteOptions,
    UpstreamOptions,
    MetricsOptions,
    ActivityOptions,
    RESTAPIOptions,
    Proxy,  # type: ignore[misc]  # jupyterhub has no type hints
):
    """Routes through Traefik, with the routing table in a store of the admin's choice.

    Chosen with ``c.JupyterHub.proxy_class = "kvproxy"``. What JupyterHub may expect of each method is written in
    :class:`jupyterhub.proxy.Proxy`.
    """

    @classmethod
    def class_own_traits(cls, **metadata: Any) -> dict[str, TraitType[Any, Any]]:
        """Those of the classes of options too: `jupyterhub --generate-config` has sections for owners of traits."""
        traits = cls.class_traits(**metadata).items()
        return {name: trait for name, trait in traits if getattr(Proxy, name, None) is not trait}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A default is not validated, so the name may still be one.
        self.backend_class = self.backend_class
        self._backend: Backend = self.backend_class(parent=self, prefix=self.prefix)
        self._readiness = Readiness(self.log)
        self._lease = Lease(self._backend, self.lease_seconds, self.log)
        pace = None if self.is_pushed else Pace(self.rebuild_share, self._is_live)
        table = Table() if self.is_pushed else RoutingTable(Routing.TREE, serving=self.serving)
        stored = StoredTable(table, self._backend, self._lease, self.log)
        stored.listeners.append(self._committed)
        self._writer = Writer(stored, pace)
        self._guard = Guard(self._backend, self._writer, stored, self._lease, self.log)
        self._pace = pace
        self._journal = Journal(form_of(self.serving))
        self._pusher = self._make_pusher() if self.is_pushed else None
        self._keepers: Keepers = self._pusher or Poller(self._readiness, self.traefik_provider, self.log)
        self._local = LocalReplicas(Path(self.runtime_dir).absolute(), self.local_replicas, self.log)
        self._gauged = Source(
            lambda: len(self._writer.table.routes),
            lambda: self._lease.is_held,
            lambda: self._readiness.replicas,
            lambda: self._pusher.answers if self._pusher else {},
        )
        self._activity = self._make_activity() if self.activity else None
        self._rest_api = RESTAPI(self, self.rest_api_token, writes=self.rest_api_writes, log=self.log)
        self._discovery: Discovery | None = None
        self._renewal: Renewal | None = None
        self._opening = asyncio.Lock()
        self._is_open = False
        self._closer: asyncio.Task[None] | None = None

    @property
    def is_pushed(self) -> bool:
        """Whether the hub sends the table to the plugin in each Traefik."""
        return bool(self.delivery == Delivery.PUSH)

    @property
    def traefik_provider(self) -> str:
        """Traefik's name for the store, which the names of the routers there end with."""
        return self._backend.provider

    def traefik_provider_config(self) -> dict[str, Any]:
        """What each Traefik has under ``providers`` in its static configuration, without secrets."""
        return {} if self.is_pushed else self._backend.traefik_provider_config()

    def traefik_provider_secrets(self) -> dict[str, Any]:
        """What is merged over it, and must stand in no file."""
        return {} if self.is_pushed else self._backend.traefik_provider_secrets()

    async def start(self) -> None:
        """Start Traefik, or find again the one that an earlier hub left running, and wait until it serves the table."""
        await self._ready()
        try:
            launch = await launch_of(self)
            await self._local.start(launch)
        except BaseException:
            await self._close()
            raise
        self._watch(self._local.apis)
        try:
            await check_versions(self._local.apis)
            await self._readiness.wait(self._writer.revision, None, self.ready_timeout, for_fresh_answers=True)
        except BaseException:
            # The hub ends now. Users keep a Traefik that was there before it.
            await self._local.stop(keep_adopted=True)
            await self._close()
            raise
        self._renewal = launch.renewal
        if self._renewal:
            self._renewal.start()

    async def stop(self) -> None:
        """Stop Traefik. The table stays in the store."""
        await self._close_renewal()
        await self._keepers.close()
        self._readiness.close()
        await self._local.stop()
        await self._close()

    async def add_route(self, routespec: str, target: str, data: dict[str, Any] | None) -> None:
        """Add or change a route; returns when every replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.RouteRejected` (a ValueError) for what cannot be routed,
        :class:`~jhub_kvproxy.errors.RouteNotReady`, or :class:`~jhub_kvproxy.errors.BackendError`. The
        route is then as it was before the call. `data` may be None, as with configurable-http-proxy: it is ``{}`` then.
        """
        data = {} if data is None else data
        if self._activity:
            data = without_last_activity(data)
        route = Route(self.validate_routespec(routespec), target, data)
        await self._ready()
        previous, before = self._writer.latest(route.name), self._writer.revision
        revision = await self._writer.put(route, self.ready_timeout)
        try:
            if revision == before or self.is_pushed or self._backend.lists_at_once:
                await self._wait(revision, route)
            else:
                await self._wait_for_a_whole_list(revision, route)
        except (RouteNotReady, BackendError) as error:
            await self._writer.take_back(route, previous, self.ready_timeout)
            if isinstance(error, RouteNotReady):
                raise RouteNotReady(f"The route {routespec!r} was not added. {error}") from error
            raise
        if self._activity and (previous is None or previous.target != target):
            self._activity.added(route)

    async def delete_route(self, routespec: str) -> None:
        """Delete a route, if it is there; returns when no replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.RouteNotReady`, or :class:`~jhub_kvproxy.errors.BackendError`: then the
        route is as it was before the call.
        """
        name = Pattern.parse(self.validate_routespec(routespec)).name
        await self._ready()
        await self._wait(await self._writer.delete(name, self.ready_timeout))

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        """The routes in the store, by routespec.

        From memory while a watch would tell if they had changed and the store has granted the lease not long ago,
        and otherwise from the store: an unreachable one is an error no later than `lease_seconds` after it was lost.
        """
        with PROXY_POLL_DURATION_SECONDS.time():
            routes = await self.describe_all()
            return {routespec: route for routespec, route in routes.items() if not is_foreign(route)}

    async def get_route(self, routespec: str) -> dict[str, Any] | None:
        """The route with this routespec; None when there is none. It is known in the way of :meth:`get_all_routes`."""
        route = await self.describe(routespec)
        return None if route is None or is_foreign(route) else route

    async def describe_all(self) -> dict[str, dict[str, Any]]:
        """What :meth:`get_all_routes` tells, of routes too that are none of JupyterHub's."""
        await self._ready()
        routes = await self._writer.routes(from_memory=self._guard.knows_the_store)
        return await asyncio.to_thread(described_by_routespec, routes, await self._last_use(routes))

    async def describe(self, routespec: str) -> dict[str, Any] | None:
        """What :meth:`get_route` tells, of a route too that is none of JupyterHub's."""
        name = Pattern.parse(self.validate_routespec(routespec)).name
        await self._ready()
        routes = await self._writer.routes(from_memory=self._guard.knows_the_store)
        return described(routes[name], await self._last_use(routes)) if name in routes else None

    async def _last_use(self, routes: Mapping[str, Route]) -> LastUse:
        if self._activity is None:
            return never
        await self._activity.refresh(routes)
        return self._activity.last_use

    def _make_pusher(self) -> Pusher:
        owns = bool(self.should_start)
        return Pusher(
            self._readiness,
            self._journal,
            self.serving,
            self.log,
            owns_replicas=owns,
            may_push=lambda: owns or self._lease.is_held,
            outdo=self._writer.outdo,
        )

    def _make_activity(self) -> Activity | ToldActivity:
        if self.is_pushed:
            return ToldActivity(self._readiness, self.log)
        # The Traefik that we start has our user; of another we know nothing.
        owners = frozenset([os.getuid()]) if self.should_start else None
        return Activity(owners, self.activity_urls, self.activity_token, self.log)

    def _watch(self, replicas: list[TraefikAPI]) -> None:
        self._readiness.watch(replicas)
        self._keepers.watch(self._readiness.replicas)

    def _committed(self, committed: Committed) -> None:
        if self._pace:
            self._pace.committed(committed.revision)
        else:
            self._journal.record(committed.revision, committed.routes, is_whole=committed.is_whole)

    async def _wait(self, revision: Revision, route: Route | None = None) -> None:
        """Wait until every replica that is up serves `revision`, and `route`, if that is given, with it."""
        if self.is_pushed:
            await self._readiness.wait(revision, None, self.ready_timeout, needs_one=route is not None)
            if route and (why := self._journal.refusal(route)):
                raise RouteNotReady(f"{why}.")
            return
        table = self._writer.table
        assert isinstance(table, RoutingTable)
        router = f"{table.router(route)}@{self.traefik_provider}" if route else None
        await self._readiness.wait(revision, router, self.ready_timeout, for_fresh_answers=True)

    async def _wait_for_a_whole_list(self, revision: Revision, route: Route) -> None:
        """Wait in the way of :meth:`_wait`, where Traefik may list the keys while they are written.

        Then it may lack some of them, or call the route wrong for that. What it lists after that is whole, but for
        what the next commit changes meanwhile, which may be the place of this route in the tree.
        """
        deadline = time.monotonic() + self.ready_timeout
        await self._wait(revision)
        for look in range(_LOOKS):
            revision = await self._writer.touch(self.ready_timeout)
            try:
                return await self._wait(revision, route)
            except RouteNotReady:
                if look + 1 == _LOOKS or time.monotonic() > deadline:
                    raise

    async def _is_live(self, revision: Revision) -> None:
        # A replica that lags behind does not hold up the others for longer.
        with contextlib.suppress(RouteNotReady):
            await self._readiness.wait(revision, None, _LONGEST_PACE, for_silent_ones=False, for_fresh_answers=True)

    async def _ready(self) -> None:
        """Open the store. JupyterHub may call any method first, and `start` not at all."""
        if self._is_open:
            return
        async with self._opening:
            if self._is_open:
                return
            try:
                await open_store(
                    self._backend,
                    self._writer,
                    self.log,
                    store_patience=self.store_timeout,
                    lease_patience=math.inf if self.when_held == "wait" else 2 * self.lease_seconds,
                )
                if not self.should_start:
                    await self._watch_external()
                await self._open_extras()
            except BaseException:
                await self._close_extras()
                await self._close_store()
                raise
            self._guard.start()
            GAUGES.sources.add(self._gauged)
            self._closer = asyncio.create_task(self._close_with_the_hub())
            self._is_open = True

    async def _open_extras(self) -> None:
        if self._activity:
            self._activity.start()
            if not (self.is_pushed or self.should_start or self.activity_urls):
                self.log.warning(
                    "KVProxy.activity sees only a Traefik that runs in the Hub's network; for others, set "
                    "KVProxy.activity_urls"
                )
        if self.rest_api_port:
            await self._rest_api.start(self.rest_api_ip, self.rest_api_port)

    async def _close_extras(self) -> None:
        await self._rest_api.close()
        if self._activity:
            await self._activity.close()

    async def _close(self) -> None:
        self._is_open = False
        GAUGES.sources.discard(self._gauged)
        closer, self._closer = self._closer, None
        if closer and closer is not asyncio.current_task():
            closer.cancel()
        await self._close_renewal()
        await self._close_extras()
        if self._discovery:
            await self._discovery.close()
        await self._keepers.close()
        self._readiness.close()
        await self._guard.close()
        await self._writer.close()
        await self._close_store()

    async def _close_renewal(self) -> None:
        if self._renewal:
            await self._renewal.close()

    async def _close_store(self) -> None:
        self._lease.lost()
        await self._backend.close()

    async def _close_with_the_hub(self) -> None:
        # JupyterHub does not always call stop(); it always ends by cancelling all tasks (jupyterhub.app,
        # shutdown_cancel_tasks).
        try:
            await asyncio.Event().wait()
        finally:
            if self._closer is asyncio.current_task():
                await self._close()

    async def _watch_external(self) -> None:
        if not self.traefik_api_urls:
            raise TraefikError(
                "KVProxy.should_start is False, so KVProxy.traefik_api_urls must name the API of each Traefik, "
                'such as ["http://127.0.0.1:8099"].'
            )
        name, password = self.traefik_api_username, self.traefik_api_password
        self._discovery = Discovery(self.traefik_api_urls, name, password, self.log)
        apis = await self._discovery.find()
        await check_versions(apis)
        self._readiness.on_down = self._discovery.hurry
        self._watch(apis)
        self._discovery.follow(self._watch, apis)
