"""KVProxy: JupyterHub's Proxy API, and the options that admins choose by."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from jupyterhub.metrics import PROXY_POLL_DURATION_SECONDS
from jupyterhub.proxy import Proxy
from traitlets import TraitType

from ..options import Options
from ..options.chosen import settings_of
from ..options.leftovers import leftovers
from ..store.contract import Backend
from ..store.registry import older_contract
from .control import Control
from .routes import is_foreign


class KVProxy(Options, Proxy):  # type: ignore[misc]  # jupyterhub has no type hints
    """Routes through Traefik, with the routing table in a store of the admin's choice.

    Chosen with ``c.JupyterHub.proxy_class = "kvproxy"``. What JupyterHub may expect of each method is written in
    :class:`jupyterhub.proxy.Proxy`. It may call any of them first, and `start` not at all.
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
        self.backend: Backend = self.backend_class(parent=self, prefix=self.prefix)
        if warning := older_contract(self.backend_class):
            self.log.warning(warning)
        for warning in leftovers(self.config, type(self)):
            self.log.warning(warning)

    @cached_property
    def control(self) -> Control:
        """What does the work. It is made from what the options are when it is used first."""
        return Control(settings_of(self), self.backend, self.log)

    async def start(self) -> None:
        """Start Traefik, or find again the one that an earlier hub left running, and wait until it serves the table."""
        await self.control.start()

    async def stop(self) -> None:
        """Stop Traefik. The table stays in the store."""
        await self.control.stop()

    async def add_route(self, routespec: str, target: str, data: dict[str, Any] | None) -> None:
        """Add or change a route; returns when every replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.RouteRejected` (a ValueError) for what cannot be routed,
        :class:`~jhub_kvproxy.errors.RouteNotReady`, or :class:`~jhub_kvproxy.errors.BackendError`. The
        route is then as it was before the call. `data` may be None, as with configurable-http-proxy: it is ``{}`` then.
        """
        routespec = self.validate_routespec(routespec)
        await self.control.open()
        await self.control.routes.add(routespec, target, data)

    async def delete_route(self, routespec: str) -> None:
        """Delete a route, if it is there; returns when no replica that is up serves it.

        Raises :class:`~jhub_kvproxy.errors.BackendError`: then the route is as it was before the call. Raises
        :class:`~jhub_kvproxy.errors.RouteNotReady` when it is deleted, and a replica may serve it for a while.
        """
        routespec = self.validate_routespec(routespec)
        await self.control.open()
        await self.control.routes.delete(routespec)

    async def get_all_routes(self) -> dict[str, dict[str, Any]]:
        """The routes in the store, by routespec.

        From memory while a watch would tell if they had changed and the store has granted the lease not long ago,
        and otherwise from the store: an unreachable one is an error no later than `lease_seconds` after it was lost.
        """
        await self.control.open()
        with PROXY_POLL_DURATION_SECONDS.time():
            routes = await self.control.routes.all()
            return {routespec: route for routespec, route in routes.items() if not is_foreign(route)}

    async def get_route(self, routespec: str) -> dict[str, Any] | None:
        """The route with this routespec; None when there is none. It is known in the way of :meth:`get_all_routes`."""
        routespec = self.validate_routespec(routespec)
        await self.control.open()
        route = await self.control.routes.one(routespec)
        return None if route is None or is_foreign(route) else route
