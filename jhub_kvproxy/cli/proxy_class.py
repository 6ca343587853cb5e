"""The proxy class that a hub's configuration names."""

from __future__ import annotations

from importlib.metadata import entry_points

from jupyterhub.proxy import Proxy
from jupyterhub.traitlets import EntryPointType
from traitlets import HasTraits, TraitError
from traitlets.config import Config

from ..did_you_mean import did_you_mean
from ..hub.proxy import KVProxy
from ..options.config_file import ConfigurationError

_PROXIES = "jupyterhub.proxies"


def proxy_class_for(config: Config) -> type[KVProxy]:
    """The proxy class in `config` if it is KVProxy or a subclass; otherwise KVProxy."""
    chosen = chosen_proxy(config)
    return chosen if chosen is not None and issubclass(chosen, KVProxy) else KVProxy


class _Chosen(HasTraits):
    proxy_class = EntryPointType(klass=Proxy, entry_point_group=_PROXIES)


def chosen_proxy(config: Config) -> type[Proxy] | None:
    """The class that ``JupyterHub.proxy_class`` names; None if it is not set. Raises :class:`ConfigurationError`."""
    value = config.JupyterHub.get("proxy_class")
    if value is None:
        return None
    try:
        chosen: type[Proxy] = _Chosen(proxy_class=value).proxy_class
    except (TraitError, ImportError) as error:
        known = [point.name for point in entry_points(group=_PROXIES)]
        raise ConfigurationError(
            f"JupyterHub.proxy_class = {value!r} cannot be imported{did_you_mean(str(value), known)}"
        ) from error
    return chosen
