"""Load a hub's configuration as JupyterHub does, and find mistakes in it."""

from __future__ import annotations

import logging
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from os.path import expanduser
from pathlib import Path

from jupyterhub.proxy import Proxy
from jupyterhub.traitlets import EntryPointType
from traitlets import HasTraits, TraitError
from traitlets.config import Config, Configurable
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, KVArgParseConfigLoader, PyFileConfigLoader

from ..did_you_mean import did_you_mean, nearest
from ..errors import KVProxyError
from ..hub.proxy import KVProxy
from ..store.registry import describe

DEFAULT_FILE = "jupyterhub_config.py"
_PROXIES = "jupyterhub.proxies"
_SURELY_MEANT = 0.85


class ConfigurationError(KVProxyError):
    """The configuration cannot be loaded, or sets what does not exist."""


def add_hub_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of commands that load a hub's configuration."""
    parser.add_argument(
        "--config",
        "-f",
        metavar="FILE",
        default="",
        type=expanduser,
        help=f"the hub's configuration file (default: {DEFAULT_FILE}, if it is here)",
    )
    # For the help only: argparse does not parse such words.
    parser.add_argument(
        "--CLASS.OPTION=VALUE",
        dest="configuration",
        action="store_true",
        help="set an option of the configuration, as with jupyterhub",
    )


def load(file: str) -> Config:
    """Load the hub's configuration `file`.

    Like JupyterHub (``Application.load_config_file``), run the file with the suffix ``.py``, then read the one with
    ``.json``, where they exist. Raises :class:`ConfigurationError`.
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
            f"JupyterHub reads {path.with_suffix('.py')} or {path.with_suffix('.json')} instead of {path}, "
            "and neither exists."
        )
    return config


def load_for_hub(file: str, words: list[str]) -> tuple[str, Config]:
    """The file that the hub reads, and the configuration.

    The file is `file`, or else the default one if it exists, or else none (an empty string). `words`, such as
    ``--KVProxy.prefix=x``, override the file. Raises :class:`ConfigurationError`.
    """
    file = file or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else "")
    config = load(file) if file else Config()
    config.merge(KVArgParseConfigLoader(words).load_config())
    return file, config


def proxy_class_for(config: Config) -> type[KVProxy]:
    """The proxy class in `config` if it is KVProxy or a subclass; otherwise KVProxy."""
    chosen = chosen_proxy(config)
    return chosen if chosen is not None and issubclass(chosen, KVProxy) else KVProxy


def silent_log() -> logging.Logger:
    """A log without output, for a proxy that no hub runs."""
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


def mistakes(config: Config, read: Iterable[type[Configurable]], others: Iterable[str]) -> Iterator[str]:
    """A sentence for each option that does not exist, and for each section that looks like a misspelled class.

    `read` are the classes whose sections are checked, `others` the names of further classes that exist.
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
