"""How the routes are laid out, and how they get to Traefik."""

from __future__ import annotations

from enum import StrEnum

from traitlets import CaselessStrEnum, Float, HasTraits, default

from ..table import Routing


class Delivery(StrEnum):
    """Who brings the routing table to Traefik."""

    STORE = "store"
    HUB = "hub"


class RoutingOptions(HasTraits):
    should_start: bool

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

    @default("delivery")
    def _default_delivery(self) -> Delivery:
        return Delivery.HUB if self.should_start else Delivery.STORE
