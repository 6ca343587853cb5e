"""``jhub-kvproxy purge``: remove what this project has left in a store below a prefix."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from ..errors import BackendUnavailable, TraefikError
from ..options.chosen import provider_of
from ..options.config_file import DEFAULT_FILE
from ..survey.purging import Remains, purge, remains_in
from ..survey.site import opened_reader
from ..survey.table import missing_directory
from ..traefik.running import home_of, reads_from
from ..words import counted
from .arguments import add_hub_arguments
from .asking import NO_LEASE, add_asking_argument, is_confirmed
from .changing import changed
from .hub_config import HubConfig, hub_config
from .running import pids_of
from .text import as_json, wrapped

DESCRIPTION = f"""
Remove what jhub-kvproxy has left in a store below a prefix: the routing table, and what the backend made to keep it.
It says what that is, and asks first. It leaves alone what others have there, and does nothing beside a hub that runs.

The command loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does: that says which store it
is. PREFIX is what KVProxy.prefix is or was. Run it as the hub's user, in the hub's working directory and environment.
"""
_EXAMPLES = """examples:
  jhub-kvproxy purge jupyterhub
  jhub-kvproxy purge jupyterhub --config old_config.py
"""
_SHOWN = 5


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("prefix", metavar="PREFIX", help="the part of the store: KVProxy.prefix")
    add_hub_arguments(parser)
    add_asking_argument(parser)
    parser.epilog = _EXAMPLES


def run(options: Namespace) -> int:
    options.configuration = [*options.configuration, f"--KVProxy.prefix={options.prefix}"]
    config = hub_config(options)
    _check_traefik(config)
    found = asyncio.run(_look(config))
    if found is None or (found.foreign and not found.ours):
        if not options.json:
            print("\n".join(wrapped(f"There is nothing of jhub-kvproxy's below {config.proxy.prefix!r}.")))
        _tell(options, config, found or Remains(), is_done=False)
        return 0
    if not options.json or not options.yes:
        lines = config.secrets.hide("\n".join(_lines(found, config)))
        print(lines, file=sys.stderr if options.json else sys.stdout, flush=True)
    is_wanted = is_confirmed("Remove it?", options)
    if is_wanted:
        changed(purge(config.writer(), config.settings.lease_seconds, found, log=config.told))
    _tell(options, config, found, is_done=is_wanted)
    return 0 if is_wanted else 1


def _check_traefik(config: HubConfig) -> None:
    """Raise TraefikError if a Traefik that the hub has started here reads this store by itself."""
    provider = provider_of(config.proxy)
    if provider is None or not config.settings.should_start:
        return
    directory = Path(config.settings.traefik.runtime_dir).absolute()
    for number, pid in pids_of(config.settings).items():
        if reads_from(home_of(directory, number), pid, provider.static):
            raise TraefikError(f"Traefik (pid {pid}) reads its routes there. End it first: jhub-kvproxy stop.")


async def _look(config: HubConfig) -> Remains | None:
    """What is there; None: nothing, and nothing was ever made there."""
    try:
        async with opened_reader(config.reader) as backend:
            return remains_in((await backend.load()).keys)
    except BackendUnavailable:
        if missing_directory(config.reader()):
            return None
        raise


def _lines(found: Remains, config: HubConfig) -> Iterator[str]:
    where = f"{config.proxy.backend_class.__name__}, prefix {config.proxy.prefix!r}"
    table = f"a table with {counted(found.routes, 'route')}" if found.revision else "no table"
    keys = counted(len(found.ours), "key")
    yield from wrapped(f"{where}: {table}; {keys} of jhub-kvproxy's, and what keeps them, will be removed.")
    if found.foreign:
        names = ", ".join(map(repr, sorted(found.foreign)[:_SHOWN]))
        more = f" and {len(found.foreign) - _SHOWN} more" if len(found.foreign) > _SHOWN else ""
        yield from wrapped(f"Others have written these, which stay: {names}{more}.")
    if not config.has_lease:
        yield from wrapped(NO_LEASE)


def _tell(options: Namespace, config: HubConfig, found: Remains, *, is_done: bool) -> None:
    if options.json:
        facts = {"backend": config.proxy.backend_class.__name__, "prefix": config.proxy.prefix, **found.to_json()}
        print(as_json(config.secrets.hide_leaves({**facts, "done": is_done})))
    elif is_done:
        print("Removed.")
