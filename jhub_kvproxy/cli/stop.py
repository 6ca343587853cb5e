"""``jhub-kvproxy stop``: end the Traefiks that a hub has left on this machine."""

from __future__ import annotations

import itertools
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path

from ..aio import in_thread
from ..errors import BackendUnavailable, KVProxyError, TraefikError
from ..options.chosen import provider_of
from ..options.config_file import DEFAULT_FILE
from ..options.settings import Delivery
from ..survey.site import opened_reader
from ..survey.table import missing_directory
from ..survey.writing import until_nobody_has_it
from ..traefik.launching import files_for
from ..traefik.left import Left
from ..traefik.running import home_of, label_of
from .arguments import add_hub_arguments
from .changing import changed
from .hub_config import HubConfig, hub_config
from .text import as_json

DESCRIPTION = f"""
End the Traefik that a hub has started on this machine and left, and remove the files that were written for it in
KVProxy.runtime_dir. Users' connections end. It leaves the Traefik of a hub that runs alone: that hub would start it
again. The routing table stays.

The command loads the file (by default {DEFAULT_FILE}, if it is here) as JupyterHub does. Run it as the hub's user,
in the hub's working directory and environment.
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_hub_arguments(parser)


def run(options: Namespace) -> int:
    config = hub_config(options)
    if not config.settings.should_start:
        raise TraefikError("KVProxy.should_start is False: the hub starts no Traefik, and whoever does ends it.")
    if config.settings.delivery is Delivery.AGENT:
        raise TraefikError('With KVProxy.delivery = "agent", the agents start Traefik, and end it.')
    directory = Path(config.settings.traefik.runtime_dir).absolute()
    ended = changed(_stop(config, directory))
    if options.json:
        print(as_json({"directory": str(directory), "ended": [*ended.values()]}))
    for name, pid in () if options.json else ended.items():
        print(f"Traefik {name} (pid {pid}) has ended.")
    if not (ended or options.json):
        print(f"No Traefik of this user runs in {directory} (KVProxy.runtime_dir).")
    return 0


async def _stop(config: HubConfig, directory: Path) -> dict[str, int]:
    """The processes that have ended, by the names of their Traefiks."""
    # The first directory is the parent of the others.
    homes = [(label_of(number), home) for number, home in _homes(directory)][::-1]
    found: dict[str, Left] = {}
    try:
        for name, home in homes:
            files = files_for(home, provider_of(config.proxy))
            found[name] = await in_thread(Left, home, config.told, files)
        if found:
            await _check_lease(config, [left.pid for left in found.values() if left.pid])
    except BaseException:
        for left in found.values():
            left.leave()
        raise
    for left in found.values():
        await in_thread(left.end)
    return {name: left.pid for name, left in found.items() if left.pid}


def _homes(directory: Path) -> list[tuple[int, Path]]:
    """The runtime directories that there are, by their numbers."""
    numbered = ((number, home_of(directory, number)) for number in itertools.count(1))
    return list(itertools.takewhile(lambda each: each[1].is_dir(), numbered))


async def _check_lease(config: HubConfig, pids: list[int]) -> None:
    """Raise KVProxyError if a hub runs, or nobody knows whether one does."""
    advice = f" If no hub runs, end Traefik by hand: kill {' '.join(map(str, pids))}" if pids else ""
    if not config.has_lease:
        raise KVProxyError(f"There is no lease (KVProxy.lease_seconds), so nobody knows whether a hub runs.{advice}")
    try:
        async with opened_reader(config.reader) as backend:
            await until_nobody_has_it(backend, config.told)
    except KVProxyError as error:
        with suppress(KVProxyError):
            if isinstance(error, BackendUnavailable) and missing_directory(config.reader()):
                return
        raise type(error)(f"{error}{advice}") from error
