"""Options for the agents beside the Traefiks."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from traitlets import HasTraits, List, TraitError, Unicode, default, validate

from ..deprecation import RenamedOption, renamed_variable

_DROPPED_IN = "jhub-kvproxy 0.3.0"


class AgentOptions(HasTraits):
    agent_urls = List(
        Unicode(),
        config=True,
        help="""
        URLs of the agents, one beside each Traefik, such as `http://10.0.0.1:8098`.

        Required with `delivery = "agent"`. With `delivery = "store"` and `activity`, the Hub asks them when the servers
        behind Traefiks on other machines were used.

        If a host name has several addresses, there is an agent at each. The Hub looks the name up every few seconds, so
        agents may join and leave, as with a headless service of Kubernetes. With `https`, their certificates must be
        for that name.
        """,
    )
    agent_token = Unicode(
        config=True,
        help="""
        Token for the agents of `agent_urls`, which have the same.

        Default: the environment variable KVPROXY_AGENT_TOKEN.
        """,
    )
    agent_ca_file = Unicode(
        config=True,
        help="""
        File of the certificate authorities (PEM) that agents with `https` must have their certificates from; empty:
        those of the system.
        """,
    )
    activity_urls = RenamedOption("agent_urls", dropped_in=_DROPPED_IN)
    activity_token = RenamedOption("agent_token", dropped_in=_DROPPED_IN)

    @validate("agent_urls")
    def _validate_agent_urls(self, proposal: Any) -> list[str]:
        for url in proposal.value:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise TraitError(f"KVProxy.agent_urls has {url!r}; write it like http://10.0.0.1:8098.")
        return list(proposal.value)

    @default("agent_token")
    def _default_agent_token(self) -> str:
        log = getattr(self, "log", None)
        return renamed_variable("KVPROXY_ACTIVITY_TOKEN", "KVPROXY_AGENT_TOKEN", dropped_in=_DROPPED_IN, log=log)
