"""What finds the replicas that the settings name: Traefiks that others start, or the agents beside them."""

from __future__ import annotations

import ssl
from functools import partial
from typing import Any

from ..agents.client import AgentAPI
from ..errors import TraefikError
from ..traefik.api import TraefikAPI
from ..traefik.discovery import Discovery
from .settings import Settings


def required_traefiks(settings: Settings, log: Any) -> Discovery[TraefikAPI]:
    """What finds the Traefiks that others start. Raises :class:`~jhub_kvproxy.errors.TraefikError` without a URL."""
    if not settings.traefik_api_urls:
        raise TraefikError(
            "KVProxy.should_start is False, so KVProxy.traefik_api_urls must name the API of each Traefik, "
            'such as ["http://127.0.0.1:8099"].'
        )
    make = partial(TraefikAPI, username=settings.traefik_api_username, password=settings.traefik_api_password)
    return Discovery(settings.traefik_api_urls, make, log)


def required_agents(settings: Settings, log: Any) -> Discovery[AgentAPI]:
    """The same as :func:`agents_of` where nothing goes without agents."""
    if settings.should_start:
        raise TraefikError(
            'KVProxy.delivery = "agent" is for Traefiks that the Hub does not start; set KVProxy.should_start = False.'
        )
    if not settings.agent_urls:
        raise TraefikError(
            'KVProxy.delivery is "agent", so KVProxy.agent_urls must name the agent beside each Traefik, such as '
            '["http://10.0.0.1:8098"].'
        )
    return agents_of(settings, log)


def agents_of(settings: Settings, log: Any) -> Discovery[AgentAPI]:
    """What finds the agents. Raises :class:`~jhub_kvproxy.errors.TraefikError` if an option is missing or wrong."""
    if settings.agent_urls and not settings.agent_token:
        raise TraefikError(
            "KVProxy.agent_urls needs the token of the agents: set KVPROXY_AGENT_TOKEN in the environment of the Hub, "
            "or KVProxy.agent_token."
        )
    tls = None
    if settings.agent_ca_file:
        try:
            tls = ssl.create_default_context(cafile=settings.agent_ca_file)
        except OSError as error:
            raise TraefikError(
                f"KVProxy.agent_ca_file = {settings.agent_ca_file!r} cannot be used: {error.strerror or error}."
            ) from error
    return Discovery(settings.agent_urls, partial(AgentAPI, token=settings.agent_token, tls=tls), log)
