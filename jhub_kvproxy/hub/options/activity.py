"""Options for `last_activity`: when each route was last used."""

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

        The idle culler needs it for servers that do not report their activity to the Hub. `jupyterhub-singleuser`
        reports it.

        With `delivery = "push"`, the plugin in each Traefik measures it. A request counts if the server answers it with
        success. Data on open websockets counts too.

        With `delivery = "store"`, the Hub asks the kernel of its machine for the connections to each server. All data
        to or from the server counts. For a Traefik on another machine, see `activity_urls`.
        """,
    )
    activity_urls = List(
        Unicode(),
        config=True,
        help="""
        URLs of activity agents (`python -m jhub_kvproxy.activity`), such as `http://10.0.0.1:8098`. With `activity` and
        `delivery = "store"`, run one beside each Traefik on another machine; the Hub asks them all.

        If a host name has several addresses, the Hub asks an agent at each.
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
