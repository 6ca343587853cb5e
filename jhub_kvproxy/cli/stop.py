"""``jhub-kvproxy stop``: end the Traefiks that a hub has left on this machine."""

from __future__ import annotations

import itertools
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ..aio import in_thread
from ..errors import KVProxyError, TraefikError
from ..options.chosen import provider_of
from ..options.config_file import DEFAULT_FILE
from ..options.settings import Delivery
from ..survey.table import missing_directory
from ..survey.writing import only_writer
from ..traefik.launching import files_for
from ..traefik.left import Left
from ..traefik.running import home_of, label_of
from .arguments import add_hub_arguments
from .changing import changed
from .hub_config import HubConfig, hub_config
from .text import as_json

#: It asks for the lease for so many seconds, in which Traefik may end connections by itself.
_SECONDS = 60.0

DESCRIPTION = f"""
End the Traefik that a hub has started on this machine and left, and remove the files that were written for it in
KVProxy.runtime_dir. Users' connections end. It leaves the Traefik of a hub that runs alone: that hub would start it
again, and takes the hub's lease meanwhile. The routing table stays.

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
    ended: dict[str, int] = {}
    is_done = False
    try:
        changed(_stop(config, directory, ended))
        is_done = True
    finally:
        if is_done or ended:
            _tell(options, directory, ended)
    return 0


def _tell(options: Namespace, directory: Path, ended: Mapping[str, int]) -> None:
    if options.json:
        print(as_json({"directory": str(directory), "ended": [*ended.values()]}))
        return
    for name, pid in ended.items():
        print(f"Traefik {name} (pid {pid}) has ended.")
    if not ended:
        print(f"No Traefik of this user runs in {directory} (KVProxy.runtime_dir).")


async def _stop(config: HubConfig, directory: Path, ended: dict[str, int]) -> None:
    """End what was left, and write into `ended` the processes that have ended, by the names of their Traefiks."""
    # The first directory is the parent of the others.
    homes = [(label_of(number), home) for number, home in _homes(directory)][::-1]
    found: dict[str, Left] = {}
    try:
        for name, home in homes:
            files = files_for(home, provider_of(config.proxy))
            found[name] = await in_thread(Left, home, config.told, files)
        if found:
            async with _only_one(config, [left.pid for left in found.values() if left.pid]):
                await _end(found, ended)
    finally:
        for left in found.values():
            left.leave()


async def _end(found: Mapping[str, Left], ended: dict[str, int]) -> None:
    """End all of `found`, also if one cannot be ended. Raises TraefikError then."""

    def end(name: str, left: Left) -> None:
        left.end()
        if left.pid:
            ended[name] = left.pid

    failures = []
    for name, left in found.items():
        try:
            await in_thread(end, name, left)
        except (TraefikError, OSError) as error:
            failures.append(f"Traefik {name}: {error}")
    if failures:
        raise TraefikError(" ".join(failures))


def _homes(directory: Path) -> list[tuple[int, Path]]:
    """The runtime directories that there are, by their numbers."""
    numbered = ((number, home_of(directory, number)) for number in itertools.count(1))
    return list(itertools.takewhile(lambda each: each[1].is_dir(), numbered))


@asynccontextmanager
async def _only_one(config: HubConfig, pids: list[int]) -> AsyncIterator[None]:
    """Keep hubs from starting. Raise KVProxyError if one runs, or nobody knows whether one does."""
    advice = f" If no hub runs, end Traefik by hand: kill {' '.join(map(str, pids))}" if pids else ""
    if not config.has_lease:
        raise KVProxyError(f"There is no lease (KVProxy.lease_seconds), so nobody knows whether a hub runs.{advice}")
    async with AsyncExitStack() as stack:
        try:
            if not missing_directory(config.reader()):  # a writer would make it
                seconds = max(config.settings.lease_seconds, _SECONDS)
                await stack.enter_async_context(only_writer(config.writer(), seconds, "jhub-kvproxy stop", config.told))
        except KVProxyError as error:
            raise type(error)(f"{error}{advice}") from error
        yield
