"""Options for how long Traefik waits: for users' requests, and for the servers behind it."""

from __future__ import annotations

import math
from typing import Any

from traitlets import Float, HasTraits, TraitError, validate


class UpstreamOptions(HasTraits):
    timeout = Float(
        3600.0,
        min=0,
        config=True,
        help="""
        Seconds that a client may take to send a whole request, with its body. Then Traefik closes the connection. 0: no
        limit.

        The time counts from the start of the request, so it also ends uploads that are slow but make progress. In an
        hour, the largest upload that Jupyter Server accepts, 512 MB, needs 1.2 Mbit/s. Downloads, late answers and
        websockets are not limited.

        It frees Traefik's file descriptors from clients that fall silent; for clients that do not even finish the head
        of a request, `header_timeout` does so.
        """,
    )
    header_timeout = Float(
        60.0,
        min=0,
        config=True,
        help="""
        Seconds that a client may take to send the head of a request: its first line and its headers. Then Traefik
        closes the connection, also if nothing was sent yet. 0: as long as `timeout`.

        With `delivery = "store"`, Traefik has one limit only, for the whole request: `timeout`.
        """,
    )
    proxy_timeout = Float(
        0.0,
        min=0,
        config=True,
        help="""
        Seconds that a user's server, a service or the Hub may take to begin its answer. 0: no limit.

        The time counts from when the server has the whole request. Then Traefik gives up, with status 504. An answer
        that has begun, and a websocket, may take any time and may pause. Some servers answer late on purpose, while
        their clients wait for news (long polls): set minutes rather than seconds.

        To connect, Traefik takes at most 30 s, or this time if it is shorter.
        """,
    )
    server_keep_alive_timeout = Float(
        60.0,
        min=0,
        config=True,
        help="""
        Seconds that Traefik keeps an idle connection to a user's server, a service or the Hub for its next request.
        0: until the other side closes it.

        Set it lower than the servers' own timeout. If a server closes a connection just when Traefik sends a POST on
        it, the user gets status 502. Single-user servers (Tornado) keep idle connections for an hour. Each idle
        connection costs Traefik some 70 kB.
        """,
    )

    @validate("timeout", "header_timeout", "proxy_timeout", "server_keep_alive_timeout")
    def _validate_seconds(self, proposal: Any) -> float:
        # Traefik's durations are whole nanoseconds in 64 bits, which end after 292 years.
        if not math.isfinite(proposal.value) or proposal.value > 10**9:
            raise TraitError(
                f"KVProxy.{proposal.trait.name} is a number of seconds, not {proposal.value}; 0: no limit."
            )
        return float(proposal.value)
