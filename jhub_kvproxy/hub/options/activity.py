"""Whether it is known when routes were used."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from traitlets import Bool, HasTraits, List, TraitError, Unicode, default, validate


class ActivityOptions(HasTraits):
    activity = Bool(
        False,
        config=True,
        help="""
        Whether routes have `last_activity`, the time of their last use, as with configurable-http-proxy.

        Servers that report their own activity to the Hub, as `jupyterhub-singleuser` does, do not need it. It is for
        the idle culler when others run.

        A request that the server answers with success counts, and so does data on open websockets. With
        `delivery = "push"`, the plugin in each Traefik tells when.

        With `delivery = "store"`, the Hub asks the kernel of its machine for the connections to each server, and any
        data that goes to the server or comes from it counts. For a Traefik that runs elsewhere, see `activity_urls`.
        """,
    )
    activity_urls = List(
        Unicode(),
        config=True,
        help="""
        With `activity` and `delivery = "store"`, where else the Hub asks: the agents
        (`python -m jhub_kvproxy.activity`) that run beside each Traefik on other machines, such as
        `http://10.0.0.1:8098`.

        A URL whose host name has several addresses stands for an agent at each of them.
        """,
    )
    activity_token = Unicode(
        config=True,
        help="""
        Token for the agents of `activity_urls`.

        Default: the environment variable KVPROXY_ACTIVITY_TOKEN.
        """,
    )

    @validate("activity_urls")
    def _validate_activity_urls(self, proposal: Any) -> list[str]:
        for url in proposal.value:
            if urlsplit(url).scheme != "http" or not urlsplit(url).hostname:
                raise TraitError(f"KVProxy.activity_urls has {url!r}; write it like http://10.0.0.1:8098.")
        return list(proposal.value)

    @default("activity_token")
    def _default_activity_token(self) -> str:
        return os.environ.get("KVPROXY_ACTIVITY_TOKEN", "")
