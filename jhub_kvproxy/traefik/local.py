"""The replicas of Traefik that we start on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import TraefikError
from .api import TraefikAPI
from .launch import Launch
from .owner import Owner
from .running import home_of, label_of
from .static import API, addresses
from .supervisor import Supervisor


class LocalReplicas:
    """`count` replicas, each under a supervisor with a directory of its own.

    The first has the hub's public port, the next ones the ports that follow.
    """

    def __init__(self, directory: Path, count: int, owner: Owner, log: Any) -> None:
        self._directory = directory
        self._owner = owner
        self._log = log
        self.supervisors = [
            Supervisor(self._home(number), owner, log, label_of(number)) for number in range(1, count + 1)
        ]

    @property
    def apis(self) -> list[TraefikAPI]:
        return [supervisor.api for supervisor in self.supervisors]

    async def start(self, launch: Launch) -> None:
        """Start all, or find again those that an earlier hub left; `launch` is the first one's.

        Raises :class:`~jhub_kvproxy.errors.TraefikError` when one cannot be started; the others that were
        new are then ended.
        """
        launches = launches_of(launch, len(self.supervisors))
        await self._end_surplus()
        starts = [supervisor.start(each) for supervisor, each in zip(self.supervisors, launches, strict=True)]
        try:
            await _all(starts)
        except BaseException:
            await self.stop(keep_adopted=True)
            raise
        if len(launches) > 1:
            ports = ", ".join(str(each.public_port) for each in launches)
            self._log.info("%d Traefiks serve the ports %s; put a load balancer before them", len(launches), ports)

    async def stop(self, *, keep_adopted: bool = False) -> None:
        """End all, or all but those that were there before us, which are watched no more."""
        kept = [s for s in self.supervisors if keep_adopted and s.is_adopted]
        await _all(s.leave() if s in kept else s.stop(keep_files=bool(kept)) for s in self.supervisors)
        with contextlib.suppress(OSError):  # it was the parent of the others' directories
            self._directory.rmdir()

    async def _end_surplus(self) -> None:
        """End the replicas that an earlier hub, which had more of them, has left."""
        for number in itertools.count(len(self.supervisors) + 1):
            home = self._home(number)
            if not home.is_dir():
                return
            await Supervisor(home, self._owner, self._log).end_left()

    def _home(self, number: int) -> Path:
        return home_of(self._directory, number)


def launches_of(launch: Launch, count: int) -> list[Launch]:
    """What `count` replicas are started with; `launch` is the first one's.

    Raises :class:`~jhub_kvproxy.errors.TraefikError` when they cannot run side by side.
    """
    launches = [_shifted(launch, n) for n in range(count)]
    _check_addresses(launches)
    return launches


def _shifted(launch: Launch, n: int) -> Launch:
    redirect_port = launch.redirect_port + n if launch.redirect_port else 0
    return replace(launch, public_port=launch.public_port + n, redirect_port=redirect_port)


async def _all(actions: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of them to their end, then raise the first error."""
    for outcome in await asyncio.gather(*actions, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _check_addresses(launches: list[Launch]) -> None:
    taken: set[tuple[str, str]] = set()
    for launch in launches:
        for address in set(_addresses(launch)):
            if address in taken:
                raise TraefikError(
                    f"KVProxy.extra_static_config gives the entry point {address[0]!r} the address {address[1]!r}, "
                    f"which {len(launches)} Traefiks cannot share; set KVProxy.local_replicas to 1."
                )
            taken.add(address)


def _addresses(launch: Launch) -> Iterator[tuple[str, str]]:
    entry_points = addresses(launch.static("", launch.public_port))
    return ((name, address) for name, address in entry_points.items() if name != API)
