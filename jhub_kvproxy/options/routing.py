"""Options for how the routes get to Traefik."""

from __future__ import annotations

from traitlets import CaselessStrEnum, Float, HasTraits, default

from .settings import Delivery


class RoutingOptions(HasTraits):
    should_start: bool
    agent_urls: list[str]
    traefik_api_urls: list[str]

    delivery = CaselessStrEnum(
        [delivery.value for delivery in Delivery],
        # If nothing else is set; see _default_delivery.
        Delivery.PUSH.value,
        config=True,
        help="""
        How Traefik gets the routes. `push`: the Hub sends each change to a plugin in Traefik. `agent`: an agent beside
        each Traefik follows the store, and sends each change to that Traefik's plugin. `store`: each Traefik reads the
        routes from the store by itself.

        Default: `push` if the Hub starts Traefik, otherwise `agent` if `agent_urls` is set and `traefik_api_urls` is
        not, otherwise `store`.

        With `push`, a change is live within milliseconds, however many routes there are, and Traefik keeps its routes
        when the store is down or loses the table. But a Traefik that starts while no Hub runs has no routes until one
        runs. Replicas that the Hub does not start need the plugin (`jhub-kvproxy traefik-config --plugin`). Each
        replica serves one Hub only.

        With `agent`, the same holds, but a Traefik gets its routes while no Hub runs, and may serve several Hubs. The
        Hub does not start Traefik then.

        With `store`, Traefik rebuilds all its routers at each change. With thousands of routes that takes seconds.
        """,
    )
    rebuild_share = Float(
        0.25,
        min=0.01,
        max=1.0,
        config=True,
        help="""
        With `delivery = "store"`: the share of its time that Traefik may spend on rebuilding its routers while changes
        keep coming.

        The Hub commits a change at once if Traefik is idle. Traefik then rebuilds its routers; the more routes, the
        longer that takes. The Hub commits the changes of that time together afterwards. After a few commits in a row
        it also pauses before each, for 3 s at most.
        """,
    )
    ready_timeout = Float(
        30.0,
        config=True,
        help="""
        Seconds within which every Traefik that is up must serve a new route. Otherwise adding the route fails.

        For the same time, the Hub retries when the store cannot be reached. Then adding the route fails with the
        store's error.
        """,
    )

    @default("delivery")
    def _default_delivery(self) -> Delivery:
        if self.should_start:
            return Delivery.PUSH
        return Delivery.AGENT if self.agent_urls and not self.traefik_api_urls else Delivery.STORE
