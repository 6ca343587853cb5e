"""How the routes get to Traefik."""

from __future__ import annotations

from enum import StrEnum

from traitlets import CaselessStrEnum, Float, HasTraits, default


class Delivery(StrEnum):
    """Who brings the routing table to Traefik."""

    PUSH = "push"
    STORE = "store"


class RoutingOptions(HasTraits):
    should_start: bool

    delivery = CaselessStrEnum(
        [delivery.value for delivery in Delivery],
        config=True,
        help="""
        How Traefik gets the routes: the Hub sends each change to a plugin in Traefik (`push`), or each Traefik reads
        them from the `store` by itself.

        Default: `push` if the Hub starts Traefik, otherwise `store`.

        With `push`, a change is live within milliseconds, however many routes there are, and Traefik does not notice
        when the store is down or loses the table. But a Traefik that is started while no Hub runs has no routes until
        one does. Replicas that the Hub does not start need the plugin then (`jhub-kvproxy traefik-config --plugin`),
        and each of them serves one Hub only.

        With `store`, Traefik makes all its routers anew at each change, which takes it seconds with thousands of
        routes.
        """,
    )
    rebuild_share = Float(
        0.25,
        min=0.01,
        max=1.0,
        config=True,
        help="""
        With `delivery = "store"`: how much of its time Traefik may spend on taking in changes, while they keep coming.

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
        return Delivery.PUSH if self.should_start else Delivery.STORE
