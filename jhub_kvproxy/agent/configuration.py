"""What an agent does, by its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets import TraitError
from traitlets.config import Config, Configurable

from ..options.chosen import provider_of, traefik_settings_of
from ..options.config_file import ConfigurationError
from ..options.mistakes import mistakes, silent_log
from ..options.secret_names import is_secret, variable_of
from ..options.settings import Delivery
from ..store.contract import Backend
from ..store.registry import installed_backends
from ..traefik.settings import StoreProvider, TraefikSettings
from ..traefik.upstream import ClientFiles
from .agent_file import Found
from .options import Agent, JupyterHub, KVProxy
from .settings import AgentSettings


@dataclass(frozen=True, slots=True)
class AgentConfiguration:
    """What was chosen for an agent, and for the Traefik beside it."""

    settings: AgentSettings
    #: The stores of the hubs, by prefix. Only for reading.
    backends: Mapping[str, Backend]
    traefik: TraefikSettings
    #: How Traefik reads the store by itself; None: it has our plugin, and the agent feeds it.
    provider: StoreProvider | None
    #: Where others start Traefik, the URL of its API, with user name and password.
    api: tuple[str, str, str]


def configured(found: Found, log: Any) -> AgentConfiguration:
    """Raises :class:`~jhub_kvproxy.options.config_file.ConfigurationError` for what cannot be."""
    config = found.config
    try:
        _check(found)
        if not found.is_hubs and "delivery" not in config.KVProxy:
            config.KVProxy.delivery = Delivery.AGENT
        hub, agent = JupyterHub(config=config, log=silent_log()), Agent(config=config, log=log)
        proxy = KVProxy(hub, config=config, log=log)
        return _configured(hub, agent, proxy)
    except (TraitError, ValueError) as error:
        raise ConfigurationError(_in(found, str(error))) from error


def _configured(hub: JupyterHub, agent: Agent, proxy: KVProxy) -> AgentConfiguration:
    if proxy.delivery == Delivery.PUSH:
        raise ValueError(
            'KVProxy.delivery is "push": the Hub brings the routes to Traefik by itself. With agents it is "agent".'
        )
    if not proxy.agent_token:
        raise ValueError(
            "An agent needs a token, the same as the Hub: set the environment variable KVPROXY_AGENT_TOKEN."
        )
    if bool(agent.tls_cert) != bool(agent.tls_key):
        there, missing = ("tls_cert", "tls_key") if agent.tls_cert else ("tls_key", "tls_cert")
        raise ValueError(f"Agent.{there} is set, and Agent.{missing} is not; TLS needs both.")
    hubs = tuple(agent.hubs) or (proxy.prefix,)
    backends = {prefix: proxy.backend_class(parent=proxy, prefix=prefix, read_only=True) for prefix in hubs}
    proxy.backend = backends[hubs[0]]
    provider = provider_of(proxy)
    if provider and len(hubs) > 1:
        raise ValueError('With KVProxy.delivery = "store", each Traefik serves one Hub: Agent.hubs may name one only.')
    names = ("ip", "port", "tls_cert", "tls_key", "cache")
    settings = AgentSettings(hubs=hubs, token=proxy.agent_token, **{name: getattr(agent, name) for name in names})
    traefik = replace(
        traefik_settings_of(proxy, hub.trusted_downstream_ips),
        local_replicas=1,  # each has its own agent
        internal_ssl=_internal_ssl(hub),
    )
    api = agent.traefik_api_url, proxy.traefik_api_username, proxy.traefik_api_password
    return AgentConfiguration(settings, backends, traefik, provider, api)


def _internal_ssl(hub: JupyterHub) -> ClientFiles | None:
    """The files of ``JupyterHub.internal_ssl``, below the directory that they have been copied to from the hub's."""
    if not hub.internal_ssl:
        return None
    directory = Path(hub.internal_certs_location).absolute()
    names = "proxy-client/proxy-client.crt", "proxy-client/proxy-client.key", "proxy-client-ca_trust.crt"
    return ClientFiles(*(str(directory / name) for name in names))


def _check(found: Found) -> None:
    """Refuse options that do not exist, and secrets in the agent's own file."""
    config = found.config
    hub = JupyterHub(config=config, log=silent_log())
    chosen = KVProxy(hub, config=Config({"KVProxy": config.KVProxy}), log=silent_log()).backend_class
    read: list[type[Configurable]] = [Agent, KVProxy, chosen]
    if not found.is_hubs:
        read.append(JupyterHub)
    others = {point.attr for point in installed_backends().values()} - {chosen.__name__}
    wrong = [*mistakes(config, read, others, is_complete=not found.is_hubs)]
    if not found.is_hubs:
        wrong += _secrets(found.in_file, read)
    if wrong:
        raise ConfigurationError(_in(found, " ".join(wrong)))


def _secrets(config: Config, read: list[type[Configurable]]) -> Iterator[str]:
    """A sentence for each secret: a file that lies beside a Traefik is no place for them."""
    options = {f"{cls.__name__}.{name}": option for cls in read for name, option in cls.class_traits().items()}
    for section, settings in config.items():
        for name, value in settings.items():
            option = options.get(f"{section}.{name}")
            variable = variable_of(option) if option else None
            if is_secret(name):
                place = f"in the environment variable {variable}" if variable else "in the environment"
                yield f"{section}.{name} is a secret, which does not belong in this file: set it {place}."
            elif any(_has_password(each) for each in (value if isinstance(value, list) else [value])):
                yield f"{section}.{name} has a password in its URL, which does not belong in this file."


def _has_password(value: Any) -> bool:
    try:
        return isinstance(value, str) and urlsplit(value).password is not None
    except ValueError:
        return False


def _in(found: Found, text: str) -> str:
    return f"{found.file}: {text}" if found.file else text
