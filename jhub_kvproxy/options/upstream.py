"""How long Traefik waits: for users to send their requests, and for the servers that it hands them to."""

from __future__ import annotations

import math
from typing import Any

from traitlets import Float, HasTraits, TraitError, validate


class UpstreamOptions(HasTraits):
    timeout = Float(
        0.0,
        min=0,
        config=True,
        help="""
        Seconds in which a request must have come in, with all of its body; then its connection is closed. 0: no limit.

        It counts from the request's start, so it also ends uploads that go on but take longer. What is under way in
        the other direction, such as a download, is not affected, and websockets are not.
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

    @validate("timeout", "proxy_timeout", "server_keep_alive_timeout")
    def _validate_seconds(self, proposal: Any) -> float:
        # Traefik's durations are whole nanoseconds in 64 bits, which end after 292 years.
        if not math.isfinite(proposal.value) or proposal.value > 10**9:
            raise TraitError(
                f"KVProxy.{proposal.trait.name} is a number of seconds, not {proposal.value}; 0: no limit."
            )
        return float(proposal.value)
