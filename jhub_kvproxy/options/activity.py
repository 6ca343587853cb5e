"""Whether it is known when routes were used."""

from __future__ import annotations

from traitlets import Bool, HasTraits


class ActivityOptions(HasTraits):
    activity = Bool(
        False,
        config=True,
        help="""
        Whether routes have `last_activity`, the time of their last use, as with configurable-http-proxy.

        Servers that report their own activity to the Hub, as `jupyterhub-singleuser` does, need it not. It is for the
        idle culler when others run.

        The Hub asks the kernel of its machine for the connections to each server; so Traefik must run there, beside
        the Hub, and any data that goes to the server or comes from it counts, on websockets too.
        """,
    )
