"""``jhub-kvproxy import``: a file of ``jhub-kvproxy export`` becomes the table in the store."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser, Namespace
from os.path import expanduser
from pathlib import Path

from ..errors import KVProxyError
from ..options.config_file import DEFAULT_FILE
from ..routing.routes import Route
from ..survey.replacement import Replacement
from ..survey.site import read_table_if_any
from ..survey.table_file import from_file
from ..survey.writing import replace_table
from .arguments import add_hub_arguments
from .changing import changed
from .hub_config import hub_config
from .replacing import add_replacing_arguments, may_replace, told

DESCRIPTION = f"""
Make the routes in FILE, which jhub-kvproxy export has written, the table in the store. It shows what changes, and
asks first. It does nothing beside a hub that runs: a hub knows its routes itself, so end it first.

The command loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does. Run it as the hub's user,
in the hub's working directory and environment.
"""
_EXAMPLES = """examples:
  jhub-kvproxy import table.jsonl --dry-run
  jhub-kvproxy import table.jsonl
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=expanduser, help="a file of jhub-kvproxy export")
    add_hub_arguments(parser)
    add_replacing_arguments(parser)
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    routes = _routes_in(Path(options.file))
    config = hub_config(options)
    before = asyncio.run(read_table_if_any(config.reader))
    found = Replacement.of([each.route for each in before.routes.values()], routes)
    is_wanted = may_replace(before, found, config, options)
    if is_wanted:
        shown = None if options.yes else found
        replacing = replace_table(
            config.settings, config.writer(), routes, who="jhub-kvproxy import", log=config.told, shown=shown
        )
        found = changed(replacing)
    told(found, options, {"file": options.file}, is_done=is_wanted, secrets=config.secrets)
    return 0 if is_wanted or options.dry_run else 1


def _routes_in(file: Path) -> list[Route]:
    try:
        return from_file(file.read_bytes(), str(file))
    except OSError as error:
        raise KVProxyError(f"{file} cannot be read: {error.strerror}.") from error
