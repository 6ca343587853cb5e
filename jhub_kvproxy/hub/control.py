"""The root that all parts of the hub's side are put together in. It knows no JupyterHub."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from ..activity.told import ToldActivity
from ..activity.tracker import Activity
from ..agents import client
from ..aio import cancel
from ..errors import BackendError
from ..options.replicas import agents_of, required_agents, required_traefiks
from ..options.settings import Delivery, Settings
from ..push import plugin
from ..push.readiness import Readiness
from ..store.contract import Backend
from ..store.guard import Guard
from ..store.lease import Lease
from ..store.opening import open_store
from ..traefik.api import check_versions
from ..traefik.discovery import AnyEndpoint, Discovery
from ..traefik.endpoint import Endpoint
from ..traefik.launching import launch_of
from ..traefik.local import LocalReplicas
from ..traefik.renewal import Renewal
from ..traefik_routers.provider import store_provider
from .changes import RouteChanges
from .gauges import GAUGES, Source
from .open_files import raise_limit
from .rest_api import RESTAPI
from .routes import Routes
from .ways import lag_advice, way_of


class Control:
    """Keeps the table in the store of `backend`, and brings it to the Traefiks that `settings` tell of.

    :meth:`open` suffices to read and change routes. :meth:`start` also starts the hub's own Traefiks, which live on
    after :meth:`close`, and end with :meth:`stop`.
    """

    def __init__(self, settings: Settings, backend: Backend, log: Any) -> None:
        self.settings = settings
        self.backend = backend
        self.lease = Lease(backend, settings.lease_seconds, log)
        self.readiness = Readiness(log, lag_advice(settings.delivery))
        self._log = log
        way = way_of(settings, backend, self.lease, self.readiness, log)
        self.stored, self.writer, self.delivery = way.stored, way.writer, way.delivery
        run = Path(settings.traefik.runtime_dir).absolute()
        self.local = LocalReplicas(run, settings.traefik.local_replicas, self.writer, log)
        self.stored.listeners.append(self.delivery.committed)
        self.guard = Guard(backend, self.writer, self.stored, self.lease, log)
        self.activity = self._make_activity() if settings.activity else None
        self.changes = RouteChanges(self.writer, self.delivery, settings.ready_timeout)
        self.routes = Routes(self.changes, self.writer, self.guard, self.activity)
        self._opening = asyncio.Lock()
        #: What ends the parts that are open, in the opposite order.
        self._stack: AsyncExitStack | None = None
        self._renewal: Renewal | None = None

    @property
    def is_open(self) -> bool:
        return self._stack is not None

    async def open(self) -> None:
        """Open the store, become its only writer, and look after the replicas; unless that is done.

        When it fails, or is cancelled, nothing of it stays behind.
        """
        if self._stack:
            return
        async with self._opening:
            if self._stack:
                return
            async with AsyncExitStack() as stack:
                await self._enter(stack)
                self._stack = stack.pop_all()

    async def start(self) -> None:
        """Start the hub's own Traefiks, or find those that an earlier hub left, and wait until they serve the table."""
        await self.open()
        try:
            store = store_provider(self.backend) if self.settings.delivery is Delivery.STORE else None
            launch = await launch_of(self.settings.traefik, store, self._log)
            await self.local.start(launch)
            try:
                self._watch(self.local.apis)
                await check_versions(self.local.apis)
                timeout = self.settings.ready_timeout
                await self.readiness.wait(self.writer.revision, None, timeout, for_fresh_answers=True)
            except BaseException:
                # The hub ends now. Users keep a Traefik that was there before it.
                await self.local.stop(keep_adopted=True)
                raise
        except BaseException:
            await self.close()
            raise
        self._renewal = launch.renewal
        if self._renewal:
            self._renewal.start()

    async def stop(self) -> None:
        """End the hub's own Traefiks, and everything else. The table stays in the store."""
        try:
            await self._close_renewal()
            # A Traefik that is ended is not one that is down.
            await self.delivery.close()
            self.readiness.close()
            await self.local.stop()
        finally:
            await self.close()

    async def close(self) -> None:
        """End everything but the hub's own Traefiks."""
        async with self._opening:
            stack, self._stack = self._stack, None
            if stack:
                await stack.aclose()

    async def _enter(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        # First of all: nothing is to be opened if it is missing.
        agents = required_agents(settings, self._log) if settings.delivery is Delivery.AGENT else None
        raise_limit(self._log)
        stack.push_async_callback(self._close_store)
        stack.push_async_callback(self.writer.close)
        self.writer.open()
        await open_store(
            self.backend,
            self.writer,
            self._log,
            store_patience=settings.store_timeout,
            lease_patience=math.inf if settings.when_lease_held == "wait" else 2 * settings.lease_seconds,
        )
        stack.push_async_callback(self.guard.close)
        self.guard.start()
        stack.callback(self.readiness.close)
        stack.push_async_callback(self.delivery.close)
        if agents:
            await self._follow(stack, agents, await agents.find())
        elif not settings.should_start:
            traefiks = required_traefiks(settings, self._log)
            found = await traefiks.find()
            await check_versions(found)
            await self._follow(stack, traefiks, found)
        if self.activity:
            stack.push_async_callback(self.activity.close)
            self.activity.start()
        if settings.rest_api_port:
            api = RESTAPI(
                self.routes,
                settings.rest_api_token,
                writes=settings.rest_api_writes,
                host_routing=settings.host_routing,
                log=self._log,
            )
            stack.push_async_callback(api.close)
            await api.start(settings.rest_api_ip, settings.rest_api_port)
        source = Source(self.writer, self.lease, self.readiness, self.delivery)
        stack.callback(GAUGES.sources.discard, source)
        GAUGES.sources.add(source)
        closer = asyncio.create_task(self._close_with_the_loop(), name="closing with the event loop")
        stack.push_async_callback(cancel, [closer])
        stack.push_async_callback(self._close_renewal)
        await asyncio.sleep(0)  # a task that is cancelled before its first step cleans up nothing

    async def _follow(self, stack: AsyncExitStack, discovery: Discovery[AnyEndpoint], found: list[AnyEndpoint]) -> None:
        stack.push_async_callback(discovery.close)
        self.readiness.on_down = discovery.hurry
        self._watch(found)
        discovery.follow(self._watch, found)

    def _watch(self, replicas: Sequence[Endpoint]) -> None:
        self.readiness.watch(replicas)
        self.delivery.watch(self.readiness.replicas)

    def _make_activity(self) -> Activity | ToldActivity:
        settings = self.settings
        if settings.delivery is Delivery.PUSH:
            return ToldActivity(self.readiness, plugin.ages, self._log)
        if settings.delivery is Delivery.AGENT:
            return ToldActivity(self.readiness, partial(client.ages, hub=self.backend.prefix), self._log)
        if not (settings.should_start or settings.agent_urls):
            self._log.warning(
                "KVProxy.activity sees only a Traefik that runs in the Hub's network; for others, set "
                "KVProxy.agent_urls"
            )
        # The Traefik that we start has our user; of another we know nothing.
        owners = frozenset([os.getuid()]) if settings.should_start else None
        return Activity(owners, partial(agents_of, settings, self._log), self._log)

    async def _close_renewal(self) -> None:
        if self._renewal:
            await self._renewal.close()

    async def _close_store(self) -> None:
        self.lease.lost()
        try:
            await self.backend.close()
        except BackendError as error:  # the hub ends all the same, and its lease expires by itself
            self._log.warning("The store was not closed in order. %s", error)

    async def _close_with_the_loop(self) -> None:
        # JupyterHub does not always call stop(). At its end it cancels all tasks (jupyterhub.app,
        # shutdown_cancel_tasks).
        try:
            await asyncio.Event().wait()
        finally:
            if self._stack:
                await self.close()
