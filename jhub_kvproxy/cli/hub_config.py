"""A hub's configuration, for commands that look at its site."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from traitlets import TraitError

from ..hub.proxy import KVProxy
from ..options.chosen import settings_of
from ..options.config_file import ConfigurationError, load_for_hub
from ..options.mistakes import silent_log
from ..options.settings import Settings
from ..store.contract import Backend, SupportsLease, supports
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

    def writer(self) -> Backend:
        """A new object of the backend that may write. What it logs is shown on standard error."""
        return cast(Backend, self.proxy.backend_class(parent=self.proxy, prefix=self.proxy.prefix, log=self.told))

    @property
    def has_lease(self) -> bool:
        """Whether one writer at a time may write."""
        return bool(self.settings.lease_seconds) and supports(self.proxy.backend_class, SupportsLease)

    @cached_property
    def told(self) -> logging.Logger:
        """A log whose warnings are shown on standard error, without secrets."""
        log, handler = logging.Logger("jhub-kvproxy"), logging.Handler(logging.WARNING)
        handler.emit = lambda record: print(self.secrets.hide(record.getMessage()), file=sys.stderr)  # type: ignore[method-assign]
        log.addHandler(handler)
        return log


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
