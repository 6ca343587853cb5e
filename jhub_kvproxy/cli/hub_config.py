"""A hub's configuration, for commands that look at its site."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any, cast

from traitlets import TraitError

from ..hub.proxy import KVProxy
from ..options.chosen import settings_of
from ..options.config_file import ConfigurationError, load_for_hub
from ..options.mistakes import silent_log
from ..options.settings import Settings
from ..store.contract import Backend
from .configured import configured_proxy, refuse_misspelt
from .secrets import Secrets


@dataclass(frozen=True)
class HubConfig:
    """What the hub of a configuration would choose, and the proxy that it would make. Nothing is opened."""

    proxy: KVProxy
    settings: Settings
    secrets: Secrets
    log: Any

    def reader(self) -> Backend:
        """A new object of the backend that only reads."""
        kind = self.proxy.backend_class
        return cast(Backend, kind(parent=self.proxy, prefix=self.proxy.prefix, read_only=True, log=self.log))


def hub_config(options: Namespace) -> HubConfig:
    """The configuration that `options` name, by :func:`~.arguments.add_hub_arguments`.

    Raises :class:`~jhub_kvproxy.options.config_file.ConfigurationError`.
    """
    file, config = load_for_hub(options.config, options.configuration)
    secrets, log = Secrets(), silent_log()
    for section in config.values():
        secrets.learn(section)
    try:
        proxy = configured_proxy(config, log)
        refuse_misspelt(options, proxy)
        settings = settings_of(proxy)
    except (TraitError, ValueError) as error:
        raise ConfigurationError(secrets.hide(f"{file or 'The command line'}: {error}")) from error
    secrets.learn_traits(proxy)
    secrets.learn_traits(proxy.backend)
    return HubConfig(proxy, settings, secrets, log)
