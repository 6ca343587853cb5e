"""The arguments of commands that load a configuration."""

from __future__ import annotations

from argparse import ArgumentParser
from os.path import expanduser

from ..options.config_file import DEFAULT_FILE


def add_hub_arguments(parser: ArgumentParser) -> None:
    """Add those of commands that load a hub's configuration."""
    add_file_argument(parser, f"the hub's configuration file (default: {DEFAULT_FILE}, if it is here)")
    add_option_words(parser)


def add_file_argument(parser: ArgumentParser, help: str) -> None:
    parser.add_argument("--config", "-f", metavar="FILE", default="", type=expanduser, help=help)


def add_option_words(parser: ArgumentParser) -> None:
    """For the help only: argparse does not parse such words. The caller finds them in ``configuration``."""
    parser.add_argument(
        "--CLASS.OPTION=VALUE",
        dest="configuration",
        action="store_true",
        help="set an option of the configuration, as with jupyterhub",
    )
