"""All that an admin has chosen, frozen: what the parts of the hub's side are made from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..routing.hub_options import Claim
from ..traefik.settings import TraefikSettings


class Delivery(StrEnum):
    """Who brings the routing table to Traefik."""

    PUSH = "push"
    AGENT = "agent"
    STORE = "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Named as the options of KVProxy, which have their own documentation. Times are in seconds."""

    traefik: TraefikSettings
    delivery: Delivery
    #: Whether routes must have a host, as with ``JupyterHub.subdomain_host``; otherwise they must have none.
    host_routing: bool = False
    should_start: bool = True

    store_timeout: float = 60.0
    lease_seconds: float = 10.0
    when_lease_held: str = "wait"
    ready_timeout: float = 30.0
    rebuild_share: float = 0.25

    traefik_api_urls: tuple[str, ...] = ()
    traefik_api_username: str = ""
    traefik_api_password: str = ""

    #: The place that is this hub's own.
    claim: Claim = Claim()  # noqa: RUF009  it is frozen
    agent_urls: tuple[str, ...] = ()
    agent_token: str = ""
    agent_ca_file: str = ""

    activity: bool = False

    rest_api_port: int = 0
    rest_api_ip: str = "127.0.0.1"
    rest_api_token: str = ""
    rest_api_writes: bool = False
