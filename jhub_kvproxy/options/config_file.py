"""Loads a hub's configuration file as JupyterHub does."""

from __future__ import annotations

import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path

from traitlets.config import Config
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, KVArgParseConfigLoader, PyFileConfigLoader

from ..errors import KVProxyError
from ..store.registry import describe

DEFAULT_FILE = "jupyterhub_config.py"


class ConfigurationError(KVProxyError):
    """The configuration cannot be loaded, or sets what does not exist."""


def load(file: str) -> Config:
    """Load the hub's configuration `file`.

    Like JupyterHub (``Application.load_config_file``), run the file with the suffix ``.py``, then read the one with
    ``.json``, where they exist. Raises :class:`ConfigurationError`.
    """
    path = Path(file).absolute()
    try:
        is_directory, is_there = path.is_dir(), path.is_file()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    if is_directory:
        raise ConfigurationError(f"{path} is a directory; name the file in it.")
    if not is_there:
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

    The file is `file`, or else the default one if it exists, or else none (an empty string), if there are `words`:
    these, such as ``--KVProxy.prefix=x``, override the file. Raises :class:`ConfigurationError`.
    """
    file = file or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else "")
    if not (file or words):
        raise ConfigurationError(f"There is no {DEFAULT_FILE} in {Path.cwd()}; name the hub's file with --config.")
    config = load(file) if file else Config()
    config.merge(KVArgParseConfigLoader(words).load_config())
    return file, config


def _explain(path: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        line = f", line {error.lineno}" if error.lineno else ""
        return f"{error.filename or path}{line}: {error.msg}."
    if isinstance(error, SystemExit):
        return f"{path} ends the hub: SystemExit({error.code!r})."
    if isinstance(error, OSError) and error.filename == str(path):
        return f"{path} cannot be read: {error.strerror}."
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    assert isinstance(error, Exception)
    return f"{where}: {describe(error)}."
