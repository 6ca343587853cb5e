"""The three ways by which the table gets to the Traefiks, each with what it needs of the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..agents.delivery import AgentDelivery
from ..options.settings import Delivery, Settings
from ..push.delivery import PushDelivery
from ..push.plugin import Answer
from ..push.readiness import Readiness
from ..push.replica import Replica
from ..push.wire import form_of
from ..routing.hub_options import HubOptions
from ..routing.records import Table
from ..routing.revision import Revision
from ..routing.routes import Route
from ..store.contract import Backend
from ..store.lease import Lease
from ..store.reconciler import Committed, Reconciler
from ..store.writer import Writer
from ..traefik.upstream import TRANSPORT
from ..traefik_routers.delivery import StoreDelivery
from ..traefik_routers.provider import readable_by_traefik
from ..traefik_routers.serving import Serving
from ..traefik_routers.table import Routing, RoutingTable
from ..traefik_routers.throttle import CommitThrottle


class DeliveryWay(Protocol):
    """Sees to it that the replicas serve what is committed, and knows when they do."""

    @property
    def answers(self) -> Mapping[Replica, Answer]:
        """What the plugin of each replica serves, where one is."""

    def committed(self, committed: Committed) -> None:
        """This has been committed."""

    def watch(self, replicas: Sequence[Replica]) -> None:
        """These are the replicas from now on."""

    async def confirm(self, revision: Revision, route: Route | None, timeout: float, *, is_new: bool) -> None:
        """Wait until every replica that is up serves `revision`, and `route`, if that is given, with it.

        `is_new` says whether `revision` has just been committed. Raises :class:`~jhub_kvproxy.errors.RouteNotReady`
        after `timeout` seconds, or when a replica refuses `route`, and what the writer does.
        """

    async def close(self) -> None:
        """End."""


@dataclass(frozen=True, slots=True)
class Way:
    """The table in the store, its writer, and what brings it to the replicas."""

    stored: Reconciler
    writer: Writer
    delivery: DeliveryWay


def lag_advice(delivery: Delivery) -> str:
    """What to do about a replica that does not take in what is new."""
    match delivery:
        case Delivery.PUSH:
            return "Look at its log."
        case Delivery.AGENT:
            return "Look at the log of its agent, which says what it serves, and whether it reaches the store."
        case Delivery.STORE:
            return (
                "Look at its log, and whether it reaches the store. If the store was emptied or restored from a "
                "backup, or etcd was started again after a user was added, start that Traefik again: it hears of no "
                "change."
            )


def stored_by(settings: Settings, backend: Backend, lease: Lease, log: Any) -> Reconciler:
    """What keeps the table in the store of `backend`, in the form that `settings` choose.

    Raises :class:`~jhub_kvproxy.errors.KVProxyError` if that cannot be.
    """
    policy = settings.traefik.policy
    match settings.delivery:
        case Delivery.PUSH:
            return Reconciler(Table(), backend, lease, log)
        case Delivery.AGENT:
            options = HubOptions(policy, settings.claim).to_record()
            return Reconciler(Table(options=options), backend, lease, log)
        case Delivery.STORE:
            serving = Serving(policy, TRANSPORT if settings.traefik.internal_ssl else "")
            table, at_once = RoutingTable(Routing.TREE, serving=serving), readable_by_traefik(backend).lists_at_once
            return Reconciler(table, backend, lease, log, is_listed_at_once=at_once)


def way_of(settings: Settings, backend: Backend, lease: Lease, readiness: Readiness, log: Any) -> Way:
    """What `settings` choose. Raises :class:`~jhub_kvproxy.errors.KVProxyError` if that cannot be."""
    stored = stored_by(settings, backend, lease, log)
    match settings.delivery:
        case Delivery.PUSH:
            return _by_push(settings, stored, lease, readiness, log)
        case Delivery.AGENT:
            form = form_of(settings.traefik.policy)
            return Way(stored, Writer(stored), AgentDelivery(readiness, backend.prefix, form, log))
        case Delivery.STORE:
            return _by_store(settings, backend, stored, readiness, log)


def _by_push(settings: Settings, stored: Reconciler, lease: Lease, readiness: Readiness, log: Any) -> Way:
    writer = Writer(stored)
    policy, owns_replicas = settings.traefik.policy, settings.should_start
    delivery = PushDelivery(policy, writer, lease, readiness, log, owns_replicas=owns_replicas)
    return Way(stored, writer, delivery)


def _by_store(settings: Settings, backend: Backend, stored: Reconciler, readiness: Readiness, log: Any) -> Way:
    readable = readable_by_traefik(backend)
    throttle = CommitThrottle(settings.rebuild_share, readiness)
    writer = Writer(stored, throttle)
    delivery = StoreDelivery(
        writer, throttle, readiness, log, provider=readable.provider, lists_at_once=readable.lists_at_once
    )
    return Way(stored, writer, delivery)
