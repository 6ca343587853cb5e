"""``jhub-kvproxy export``: the table in the store as a file."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from os.path import expanduser
from pathlib import Path

from ..errors import KVProxyError
from ..options.config_file import DEFAULT_FILE
from ..survey.site import opened_reader
from ..survey.table import Table, read_table
from ..survey.table_file import to_file
from .arguments import add_hub_arguments
from .hub_config import HubConfig, hub_config
from .output import write_output
from .text import as_json, wrapped

DESCRIPTION = f"""
Print the table in the store as JSON lines, which jhub-kvproxy import reads: the first says what it is, and each of
the others is a route. A table that has damaged records is not printed.

The command loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does. It changes nothing, and
works whether a hub runs or not. Run it as the hub's user, in the hub's working directory and environment.
"""
_EXAMPLES = """examples:
  jhub-kvproxy export --output table.jsonl
  jhub-kvproxy export | tail -n +2 | jq -r .target
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_hub_arguments(parser)
    parser.add_argument(
        "--output", metavar="FILE", type=expanduser, help="write into this file, not to the terminal; a new one is 0600"
    )
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    if options.json and not options.output:
        options.parser.error("without --output, JSON lines are printed anyway: leave --json out.")
    config = hub_config(options)
    table = asyncio.run(_read(config))
    content = to_file([each.route for each in table.routes.values()], table.revision)
    if not options.output:
        sys.stdout.write(content.decode())
        return 0
    write_output(Path(options.output), content, is_secret=True)
    if options.json:
        print(as_json({"file": options.output, "routes": len(table.routes), "revision": table.revision}))
    else:
        many = "" if len(table.routes) == 1 else "s"
        told = f"{options.output} has {len(table.routes)} route{many} at revision {table.revision}."
        print("\n".join(wrapped(told)))
    return 0


async def _read(config: HubConfig) -> Table:
    async with opened_reader(config.reader) as backend:
        table = await read_table(backend)
    if table.damage:
        told = " ".join(table.damage)
        raise KVProxyError(f"The table is damaged, so nothing is exported. {told} The next hub that starts repairs it.")
    if not table.revision:
        raise KVProxyError(f"There is no table below {config.proxy.prefix!r} in {type(backend).__name__}.")
    return table
