"""Reads the agent's configuration: an agent.toml, or the configuration file of a hub."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from traitlets.config import Config
from traitlets.config.loader import KVArgParseConfigLoader

from ..options.config_file import DEFAULT_FILE, ConfigurationError, load

TOML_FILE = "agent.toml"


@dataclass(frozen=True, slots=True)
class Found:
    """A configuration."""

    #: All of it, and what of it stands in the file.
    config: Config
    in_file: Config
    #: The file that it is from, for people; empty: there is none.
    file: str
    #: Whether it is a hub's, which has more in it than concerns an agent.
    is_hubs: bool


def read_configuration(file: str, words: list[str]) -> Found:
    """The configuration in `file`, or in the first default file that is here, or in none.

    `words`, such as ``--Agent.port=8098``, override the file. Raises
    :class:`~jhub_kvproxy.options.config_file.ConfigurationError`.
    """
    file = file or next((name for name in (TOML_FILE, DEFAULT_FILE) if Path(name).is_file()), "")
    path = Path(file).absolute()
    is_hubs = path.suffix in (".py", ".json")
    if not file:
        in_file = Config()
    elif is_hubs:
        in_file = _load_hubs(file)
    elif path.suffix == ".toml":
        in_file = _load_toml(path)
    else:
        raise ConfigurationError(f"{path} is neither TOML (.toml) nor the configuration file of a hub (.py).")
    config = copy.deepcopy(in_file)
    config.merge(KVArgParseConfigLoader(words).load_config())
    return Found(config, in_file, str(path) if file else "", is_hubs)


def _load_hubs(file: str) -> Config:
    try:
        return load(file)
    except ConfigurationError as error:
        if isinstance(error.__cause__, ImportError):
            raise ConfigurationError(f"{error} Without that package here, give the agent an {TOML_FILE}.") from error
        raise


def _load_toml(path: Path) -> Config:
    if not path.is_file():
        raise ConfigurationError(f"There is no file {path}.")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}.") from error
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigurationError(f"{path}: {name} stands in no table; write it below [Agent] or [KVProxy].")
        if not name[:1].isupper():
            raise ConfigurationError(f"{path}: [{name}] is not the name of a class, such as [Agent] or [KVProxy].")
    return Config(tables)
