"""Options for `last_activity`: when each route was last used."""

from __future__ import annotations

from traitlets import Bool, HasTraits


class ActivityOptions(HasTraits):
    activity = Bool(
        False,
        config=True,
        help="""
        Whether routes have `last_activity`, the time of their last use, as with configurable-http-proxy.

        The idle culler needs it for servers that do not report their activity to the Hub. `jupyterhub-singleuser`
        reports it.

        With `delivery = "push"` or `"agent"`, the plugin in each Traefik measures it. A request counts if the server
        answers it with success. Data on open websockets counts too.

        With `delivery = "store"`, the Hub asks the kernel of its machine for the connections to each server. All data
        to or from the server counts. For a Traefik on another machine, see `agent_urls`.
        """,
    )
