"""How long Traefik waits: for users to send their requests, and for the servers that it hands them to."""

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
        Seconds in which a request must have come in, with all of its body; then its connection is closed. 0: no limit.

        It counts from the request's start, so it also ends uploads that go on but take longer. In an hour, the
        largest upload that Jupyter Server takes, 512 MB, comes in at 1.2 Mbit/s. What is under way in the other
        direction, such as a download, is not affected, and neither are answers that come late, nor websockets.

        It bounds how long clients that fall silent keep a file descriptor of Traefik; `header_timeout` does so for
        those that do not even finish a request's head.
        """,
    )
    header_timeout = Float(
        60.0,
        min=0,
        config=True,
        help="""
        Seconds in which the head of a request must have come in: its first line and its headers. Then its connection
        is closed, as is one on which nothing has come yet. 0: as long as `timeout`.

        A Traefik that reads the store by itself (`delivery` is `store`) has one limit for all of a request, which is
        `timeout`.
        """,
    )
    proxy_timeout = Float(
        0.0,
        min=0,
        config=True,
        help="""
        Seconds that a user's server, a service or the Hub may take to begin its answer. 0: no limit.

        They count from when it has the whole request; then Traefik gives up, with status 504. How long the answer
        then takes, or is silent, does not matter, nor does it for websockets. Servers may take this time
        on purpose, when their clients wait for news (long polls): set it to minutes rather than seconds.

        A connection may take 30 s to be made, or this time if it is shorter.
        """,
    )
    server_keep_alive_timeout = Float(
        60.0,
        min=0,
        config=True,
        help="""
        Seconds that Traefik keeps an idle connection to a user's server, a service or the Hub for its next request.
        0: until the other side closes it.

        Let it be less than the servers' own. One that closes a connection while a request is on its way there makes
        Traefik answer that request, if it was a POST, with status 502. Single-user servers, being Tornado's, keep
        theirs for an hour. Each idle connection costs Traefik some 70 kB.
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
