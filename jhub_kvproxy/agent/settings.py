"""What an admin has chosen for an agent, frozen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Named as the options of Agent, which have their own documentation, but for what comes from KVProxy."""

    #: The prefixes of the hubs whose tables Traefik serves. What several claim belongs to the first of them.
    hubs: tuple[str, ...]
    #: ``KVProxy.agent_token``: who has it may ask what is served.
    token: str
    ip: str = "127.0.0.1"
    port: int = 8098
    tls_cert: str = ""
    tls_key: str = ""
    #: The file that keeps the last good tables; empty: none.
    cache: str = ""
