"""A hub's configuration, loaded as JupyterHub loads it, and what is wrong with it."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path

from jupyterhub.proxy import Proxy
from jupyterhub.traitlets import EntryPointType
from traitlets import HasTraits, TraitError
from traitlets.config import Config, Configurable
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader

from ..errors import KVProxyError
from ..hub.proxy import KVProxy
from ..store.registry import describe
from .text import did_you_mean, nearest

DEFAULT_FILE = "jupyterhub_config.py"
_PROXIES = "jupyterhub.proxies"
_SURELY_MEANT = 0.85


class ConfigurationError(KVProxyError):
    """The configuration cannot be loaded, or says what nothing reads."""


def load(file: str) -> Config:
    """What the hub's configuration `file` sets.

    Like JupyterHub (``Application.load_config_file``) it runs the file's name with ``.py``, and the same
    with ``.json`` where there is one. Raises :class:`ConfigurationError`.
    """
    path = Path(file).absolute()
    if not path.is_file():
        raise ConfigurationError(f"There is no file {path}.")
    config = Config()
    found = False
    for loader_class, suffix in ((PyFileConfigLoader, ".py"), (JSONFileConfigLoader, ".json")):
        loader = loader_class(str(path.with_suffix(suffix)))
        try:
            with redirect_stdout(sys.stderr):
                config.merge(loader.load_config())
        except ConfigFileNotFound:
            continue
        except (Exception, SystemExit) as error:
            raise ConfigurationError(_explain(path.with_suffix(suffix), error)) from error
        found = True
    if not found:
        raise ConfigurationError(
            f"JupyterHub reads {path.with_suffix('.py')} or {path.with_suffix('.json')} in the place of {path}, "
            "and there is neither."
        )
    return config


def load_for_hub(file: str, over: Config) -> tuple[str, Config]:
    """The file that the hub reads (`file`, or else the default one if it is here, or else none), and what it sets.

    `over` is laid over that. Raises :class:`ConfigurationError`.
    """
    file = file or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else "")
    config = load(file) if file else Config()
    config.merge(over)
    return file, config


def proxy_class_for(config: Config) -> type[KVProxy]:
    """The class that `config` chooses, if it is one of ours."""
    chosen = chosen_proxy(config)
    return chosen if chosen is not None and issubclass(chosen, KVProxy) else KVProxy


def silent_log() -> logging.Logger:
    """For a proxy that no hub runs."""
    log = logging.Logger("jhub-kvproxy")
    log.addHandler(logging.NullHandler())
    return log


def _explain(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}, line {error.lineno}: {error.msg}."
    if isinstance(error, SystemExit):
        return f"{path} ends the hub: SystemExit({error.code!r})."
    if isinstance(error, OSError) and error.filename == str(path):
        return f"{path} cannot be read: {error.strerror}."
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    assert isinstance(error, Exception)
    return f"{where}: {describe(error)}."


class _Chosen(HasTraits):
    proxy_class = EntryPointType(klass=Proxy, entry_point_group=_PROXIES)


def chosen_proxy(config: Config) -> type[Proxy] | None:
    """The class that ``JupyterHub.proxy_class`` stands for; None when it is not set.

    Raises :class:`ConfigurationError`.
    """
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


def mistakes(config: Config, read: Iterable[type[Configurable]], others: Iterable[str]) -> Iterator[str]:
    """A sentence for each section or option that nothing reads, and that was probably meant for a class of `read`.

    `others` are names of further classes that there are.
    """
    sections = {name: cls for cls in read for name in cls.section_names()}
    classes = {cls.__name__: cls for cls in read}
    for section, settings in config.items():
        if section in sections:
            known = {
                name for cls in read if section in cls.section_names() for name in cls.class_trait_names(config=True)
            }
            for option in settings:
                if option not in known:
                    yield f"c.{section}.{option}: {section} has no such option{did_you_mean(option, known)}"
        elif section not in others and (meant := nearest(section, classes, _SURELY_MEANT)):
            yield f"c.{section}: there is no such class; did you mean c.{meant}?"
