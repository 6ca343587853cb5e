"""KVProxy: JupyterHub's Proxy API, wired to a writer, a backend and Traefik."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from enum import StrEnum
from pathlib import Path
from typing import Any

import aiohttp
import tomli_w
from jupyterhub.metrics import PROXY_POLL_DURATION_SECONDS
from jupyterhub.proxy import Proxy
from jupyterhub.traitlets import Command
from traitlets import CaselessStrEnum, Dict, Float, Integer, List, TraitError, Type, Unicode, Union, default, validate

from .backend import Backend
from .errors import BackendError, BackendNotFound, KVProxyError, RouteNotReady, TraefikError
from .guard import Guard
from .lease import Lease
from .opening import open_store
from .pace import Pace
from .readiness import Readiness
from .registry import find_backend
from .revision import Revision
from .routes import Pattern, Route, copy_json
from .stored import StoredTable
from .table import Routing, RoutingTable
from .traefik.api import TraefikAPI
from .traefik.binary import check_version, find_traefik, installed_version
from .traefik.certificate import self_signed
from .traefik.discovery import Discovery
from .traefik.document import Document
from .traefik.dynamic import base_config
from .traefik.feed import Feed
from .traefik.local import LocalReplicas
from .traefik.static import REST, public_address, static_config
from .traefik.supervisor import API_USER, Launch
from .writer import Writer

_LONGEST_PACE = 5.0


class Delivery(StrEnum):
    """Who brings the routing table to Traefik."""

    STORE = "store"
    HUB = "hub"


class KVProxy(Proxy):  # type: ignore[misc]  # jupyterhub has no type hints
    """Routes through Traefik, with the routing table in a store of the admin's choice.

    Chosen with ``c.JupyterHub.proxy_class = "kvproxy"``. What JupyterHub may expect of each method is written in
    :class:`jupyterhub.proxy.Proxy`.
    """

    backend_class = Union(
        [Unicode(), Type(klass=Backend)],
        default_value="toml",
        config=True,
        help="""
        The store that keeps the routing table: the name of an installed backend, such as `toml`,
        or the import path of a class, or the class. Default: `toml`, the table in files.
        """,
    )
    prefix = Unicode(
        "jupyterhub",
        config=True,
        help="""
        Name of this hub's part of the store. Hubs that share a store need different ones; everything
        below the prefix is the hub's, and what it did not write there is removed.
        """,
    )
    traefik_api_urls = List(
        Unicode(),
        config=True,
        help="""
        URLs of the API of each Traefik replica, such as `http://10.0.0.1:8099`.

        Needed when `KVProxy.should_start` is False. Otherwise the Hub starts Traefik, with its
        API on 127.0.0.1.

        A URL whose host name has several addresses stands for a replica at each of them; the name is
        looked up every few seconds, so that replicas join and leave, as with a headless service of
        Kubernetes: `["http://traefik.hub.svc:8099"]`. With `https`, their certificates must be for that name.
        """,
    )
    local_replicas = Integer(
        1,
        min=1,
        config=True,
        help="""
        How many Traefiks the Hub starts on its own machine; more than one for demonstrations and tests.

        The first has the port of `JupyterHub.bind_url`, the others the ports that follow it. A load
        balancer, which is not a part of this, goes before them. Each has a directory in `runtime_dir`.
        """,
    )
    traefik_api_username = Unicode(
        API_USER, config=True, help="User name for the API of replicas that the Hub does not start (HTTP basic)."
    )
    traefik_api_password = Unicode(
        config=True,
        help="""
        Password for the API of replicas that the Hub does not start (HTTP basic); empty: none is sent.

        Default: the environment variable KVPROXY_TRAEFIK_API_PASSWORD.
        """,
    )
    traefik_cmd = Command(
        ["traefik"],
        config=True,
        help="The command that starts Traefik, `traefik` by default; looked for beside the Hub's Python, then on PATH.",
    )
    traefik_log_level = CaselessStrEnum(
        ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"],
        "ERROR",
        config=True,
        help="How much the Traefik that the Hub starts logs; its log goes where the Hub's goes.",
    )
    runtime_dir = Unicode(
        "kvproxy-run",
        config=True,
        help="""
        Directory for the generated configuration of the Traefik that the Hub starts, relative to the
        Hub's working directory. A hub that is started again finds its running Traefik by it.
        """,
    )
    routing = CaselessStrEnum(
        [Routing.TREE, Routing.FLAT],
        Routing.TREE,
        config=True,
        help="""
        How the routes are laid out for Traefik: as a `tree`, in which many routes are as fast as few, or `flat`.

        `flat` is for comparison. A hub that is started with the other one changes its table, and requests are served
        meanwhile.
        """,
    )
    delivery = CaselessStrEnum(
        [Delivery.HUB, Delivery.STORE],
        config=True,
        help="""
        How Traefik gets the routes: the `hub` hands them out, or each Traefik reads them from the `store`.

        Default: `hub` if the Hub starts Traefik, otherwise `store`.

        With `hub`, changes of large tables are live many times faster, and Traefik does not notice when the store is
        down or loses the table. But a Traefik that is started while no hub runs has no routes until one does.
        Replicas that the Hub does not start need the `rest` provider then, and each of them serves one hub only.
        """,
    )
    rebuild_share = Float(
        0.25,
        min=0.01,
        max=1.0,
        config=True,
        help="""
        How much of its time Traefik may spend on taking in changes of the routes, while they keep coming.

        A change into a quiet Traefik goes out at once. It then takes Traefik a while, the longer the more routes there
        are, and changes that come meanwhile go out together when that while is over. When more than a
        few have gone out one after another, Traefik has a rest before each, of 3 s at most.
        """,
    )
    ready_timeout = Float(
        30.0,
        config=True,
        help="""
        Seconds that a new route may take until every Traefik that is up serves it; then adding it fails.

        A store that does not take the route is tried again for as long, and then adding it fails with what is
        wrong with the store.
        """,
    )
    store_timeout = Float(
        60.0,
        min=0,
        config=True,
        help="""
        Seconds that the Hub, when it starts, waits for a store that is away. Then it ends, and says what is wrong.

        A store that refuses the Hub, for a wrong password say, is not waited for.
        """,
    )
    lease_seconds = Float(
        10.0,
        min=0,
        config=True,
        help="""
        For how long after a Hub was killed, or has lost the store, no other Hub may write to the same prefix.

        The Hub that runs renews its right to write (the lease) every third of it. So a Hub that is started again
        after it was killed waits for up to this time; one that was stopped leaves nothing to wait for. 0: there is no
        lease. See to it yourself then that no two Hubs use the same prefix.
        """,
    )
    when_held = CaselessStrEnum(
        ["wait", "fail"],
        "wait",
        config=True,
        help="""
        What a Hub does, when it starts, while another Hub has the lease of the same prefix: `wait`, or `fail`.

        With `wait` it takes over when the other has ended, for however long that takes. With `fail` it waits for twice
        `lease_seconds`, so that the lease of a Hub that was killed has run out, and then ends. Both say in the log,
        every few seconds, who has the lease, and since when.
        """,
    )
    extra_static_config = Dict(
        config=True,
        help="""
        Static configuration for the Traefik that the Hub starts, merged over what the Hub generates.

        As in Traefik's documentation, with Python values:
        `{"entryPoints": {"public": {"address": ":8443"}}}`. The Hub's entry points are `public` and `api`.
        """,
    )
    extra_dynamic_config = Dict(
        config=True,
        help="""
        Dynamic configuration for the Traefik that the Hub starts: routers, services, middlewares of your own.

        They stand beside the Hub's routes. A router of yours comes before routes without a host unless
        you give it a lower `priority`; routes with one (`JupyterHub.subdomain_host`) have priorities
        above 1000000. Traefik runs Go templates over the values.
        """,
    )

    @default("delivery")
    def _default_delivery(self) -> Delivery:
        return Delivery.HUB if self.should_start else Delivery.STORE

    @default("traefik_api_password")
    def _default_password(self) -> str:
        return os.environ.get("KVPROXY_TRAEFIK_API_PASSWORD", "")

    @validate("backend_class")
    def _validate_backend_class(self, proposal: Any) -> type[Backend]:
        if isinstance(proposal.value, type):
            return proposal.value
        try:
            return find_backend(proposal.value)
        except BackendNotFound as error:
            raise TraitError(str(error)) from error

    @validate("prefix")
    def _validate_prefix(self, proposal: Any) -> str:
        if not proposal.value.strip("/"):
            raise TraitError("KVProxy.prefix must not be empty: it is the name of this hub's part of the store.")
        return str(proposal.value)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # A default is not validated, so the name may still be one.
        self.backend_class = self.backend_class
        self._backend: Backend = self.backend_class(parent=self, prefix=self.prefix)
        self._readiness = Readiness(self.traefik_provider, self.log)
        pace = Pace(self.rebuild_share, self._deliver)
        self._lease = Lease(self._backend, self.lease_seconds, self.log)
        stored = StoredTable(RoutingTable(Routing(self.routing)), self._backend, self._lease, pace, self.log)
        self._writer = Writer(stored, pace)
        self._guard = Guard(self._backend, self._writer, stored, self._lease, self.log)
        self._document = Document(has_health=bool(self.should_start))
        self._feed = Feed(
            lambda: self._writer.revision.text, self._make_document, lambda: self._lease.is_held, self.log
        )
        self._local = LocalReplicas(Path(self.runtime_dir).absolute(), self.local_replicas, self.log)
        self._discovery: Discovery | None = None
        self._opening = asyncio.Lock()
        self._is_open = False
        self._closer: asyncio.Task[None] | None = None

    @property
    def is_fed(self) -> bool:
        """Whether the hub hands the table to Traefik."""
        return bool(self.delivery == Delivery.HUB)

    @property
    def traefik_provider(self) -> str:
        """Traefik's name for what it gets the table by."""
        return REST if self.is_fed else self._backend.provider

    def traefik_provider_config(self) -> dict[str, Any]:
        """What each Traefik has under ``providers`` in its static configuration, without secrets."""
        return {REST: {}} if self.is_fed else self._backend.traefik_provider_config()

    def traefik_provider_secrets(self) -> dict[str, Any]:
        """What is merged over it, and must stand in no file."""
        return {} if self.is_fed else self._backend.traefik_provider_secrets()

    async def start(self) -> None:
        """Start Traefik, or find again the one that an earlier hub left running, and wait until it serves the table."""
        await self._ready()
        await self._local.start(await self._launch())
        self._watch(self._local.apis)
        try:
            await self._check_versions(self._local.apis)
            await self._readiness.wait(self._writer.revision, None, self.ready_timeout)
        except KVProxyError:
            # The hub ends now. Users keep a Traefik that was there before it.
            await self._readiness.close()
            await self._local.stop(keep_adopted=True)
            await self._close()
            raise

    async def stop(self) -> None:
        """Stop Traefik. The table stays in the store."""
        await self._readiness.close()
        await self._feed.close()
        await self._local.stop()
        await self._close()

    async def add_route(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        """Add or change a route; returns when every replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.RouteRejected` (a ValueError) for what cannot be routed,
        :class:`~jhub_kvproxy.errors.RouteNotReady`, or :class:`~jhub_kvproxy.errors.BackendError`. The
        route is then as it was before the call.
        """
        route = Route(self.validate_routespec(routespec), target, data)
        await self._ready()
        router = self._writer.table.router(route)
        previous, before = self._writer.latest(route.name), self._writer.revision
        revision = await self._writer.put(route, self.ready_timeout)
        try:
            if revision != before and not (self.is_fed or self._backend.lists_at_once):
                # Traefik may have listed the keys while they were written, and then lack some of them, or call the
                # route wrong for that; what it lists from now on is whole.
                await self._readiness.wait(revision, None, self.ready_timeout)
                revision = await self._writer.touch(self.ready_timeout)
            await self._readiness.wait(revision, router, self.ready_timeout)
        except (RouteNotReady, BackendError):
            await self._writer.take_back(route, previous, self.ready_timeout)
            raise

    async def delete_route(self, routespec: str) -> None:
        """Delete a route, if it is there; returns when no replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.RouteNotReady`, or :class:`~jhub_kvproxy.errors.BackendError`: then the
        route is as it was before the call.
        """
        name = Pattern.parse(self.validate_routespec(routespec)).name
        await self._ready()
        revision = await self._writer.delete(name, self.ready_timeout)
        await self._readiness.wait(revision, None, self.ready_timeout)

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        """The routes in the store, by routespec.

        From memory while a watch would tell if they had changed and the store has granted the lease not long ago,
        and otherwise from the store: an unreachable one is an error no later than `lease_seconds` after it was lost.
        """
        with PROXY_POLL_DURATION_SECONDS.time():
            await self._ready()
            routes = await self._writer.routes(from_memory=self._guard.knows_the_store)
            return await asyncio.to_thread(_described_by_routespec, list(routes.values()))

    async def get_route(self, routespec: str) -> dict[str, Any] | None:
        """The route with this routespec; None when there is none. It is known in the way of :meth:`get_all_routes`."""
        name = Pattern.parse(self.validate_routespec(routespec)).name
        await self._ready()
        route = (await self._writer.routes(from_memory=self._guard.knows_the_store)).get(name)
        return _described(route) if route else None

    def _watch(self, replicas: list[TraefikAPI]) -> None:
        self._readiness.watch(replicas)
        if self.is_fed:
            self._feed.watch(replicas)

    async def _deliver(self, revision: Revision) -> None:
        """Hand out `revision`, if that is ours to do, and wait until it is live."""
        self._feed.wake()
        # A replica that lags behind does not hold up the others for longer.
        with contextlib.suppress(RouteNotReady):
            await self._readiness.wait(revision, None, _LONGEST_PACE, for_silent_ones=False)

    async def _make_document(self) -> tuple[str, bytes]:
        return await self._writer.look(lambda table, at: (at.text, self._document.of(table.keys, at.text)))

    async def _ready(self) -> None:
        """Open the store. JupyterHub may call any method first, and `start` not at all."""
        if self._is_open:
            return
        async with self._opening:
            if self._is_open:
                return
            if self.app and self.app.internal_ssl:
                raise TraefikError("KVProxy cannot do JupyterHub.internal_ssl yet; set it to False.")
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
            except BaseException:
                await self._close_store()
                raise
            self._guard.start()
            self._closer = asyncio.create_task(self._close_with_the_hub())
            self._is_open = True

    async def _close(self) -> None:
        self._is_open = False
        closer, self._closer = self._closer, None
        if closer and closer is not asyncio.current_task():
            closer.cancel()
        if self._discovery:
            await self._discovery.close()
        await self._readiness.close()
        await self._feed.close()
        await self._guard.close()
        await self._writer.close()
        await self._close_store()

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
        await self._check_versions(apis)
        self._readiness.on_down = self._discovery.hurry
        self._watch(apis)
        self._discovery.follow(self._watch, apis)

    async def _check_versions(self, apis: list[TraefikAPI]) -> None:
        """Raises :class:`TraefikError` when one is too old; one that does not answer is looked at later."""
        async with aiohttp.ClientSession() as session:
            versions = await asyncio.gather(*(api.version(session) for api in apis), return_exceptions=True)
        for api, version in zip(apis, versions, strict=True):
            if isinstance(version, str):
                check_version(version, api.name)

    async def _launch(self) -> Launch:
        command = find_traefik(self.traefik_cmd)
        check_version(await installed_version(command), command[0])
        host, port, tls = public_address(self.public_url)
        run = Path(self.runtime_dir).absolute()
        providers = self.traefik_provider_config()
        # Traefik has one file provider: a backend that uses it shares its directory with us.
        dynamic_dir = Path(providers["file"]["directory"]) if "file" in providers else run / "dynamic"
        files = {}
        if tls and self.ssl_cert and self.ssl_key:
            cert, key = Path(self.ssl_cert).absolute(), Path(self.ssl_key).absolute()
        else:
            cert, key = run / "default-cert.pem", run / "default-key.pem"
            files[cert], files[key] = self_signed()
        base = base_config(
            provider=self.traefik_provider,
            # It would be an error in Traefik's log, until the table comes.
            has_health=not self.is_fed,
            cert_file=str(cert),
            key_file=str(key),
            extra=self.extra_dynamic_config,
        )
        files[dynamic_dir / "kvproxy-base.toml"] = tomli_w.dumps(base).encode()

        def static(api_address: str, public_port: int) -> dict[str, Any]:
            return static_config(
                public_host=host,
                public_port=public_port,
                tls=tls,
                api_address=api_address,
                dynamic_dir=str(dynamic_dir),
                providers=providers,
                trusted_ips=self.app.trusted_downstream_ips if self.app else [],
                log_level=self.traefik_log_level,
                extra=self.extra_static_config,
            )

        secrets = {"providers": self.traefik_provider_secrets()}
        return Launch(command, host, port, static, secrets, files)


def _described_by_routespec(routes: list[Route]) -> dict[str, dict[str, Any]]:
    return {route.routespec: _described(route) for route in routes}


def _described(route: Route) -> dict[str, Any]:
    return {"routespec": route.routespec, "target": route.target, "data": copy_json(route.data)}
