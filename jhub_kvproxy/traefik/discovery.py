"""Which replicas of Traefik there are: a URL may stand for many, which come and go."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from .api import TraefikAPI

# A headless service of Kubernetes follows its pods within seconds, and its answers live 5 s (CoreDNS's default).
_INTERVAL = 5.0
_PATIENCE = 3.0


class Discovery:
    """Follows the replicas that `urls` stand for, from :meth:`follow` to :meth:`close`.

    A host name with several addresses stands for a replica at each of them. Those of IPv4 count, if there
    are several, otherwise those of IPv6: a machine with one of each is one replica. A name that cannot be
    resolved keeps the addresses that it had.
    """

    def __init__(self, urls: Sequence[str], username: str, password: str, log: Any) -> None:
        self._urls = list(urls)
        self._credential = (username, password)
        self._log = log
        self._known: dict[str, tuple[str, ...]] = {}
        self._follower: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    async def find(self) -> list[TraefikAPI]:
        """The replicas that there are now. Raises :class:`~jhub_kvproxy.errors.TraefikError` for what is no URL."""
        found = {url: TraefikAPI(url, *self._credential) for url in self._urls}
        await asyncio.gather(*(self._resolve(url) for url in found))
        return [
            TraefikAPI(url, *self._credential, address=address) if address else api
            for url, api in found.items()
            for address in self._known.get(url, ("",))
        ]

    def follow(self, changed: Callable[[list[TraefikAPI]], None], now: list[TraefikAPI]) -> None:
        """Call `changed` with the replicas whenever others than `now` are found, until :meth:`close`."""
        if any(map(_has_name, self._urls)):
            self._follower = asyncio.create_task(self._follow(changed, now))

    def hurry(self) -> None:
        """Look at once: a replica does not answer, and may have gone."""
        self._hurry.set()

    async def close(self) -> None:
        follower, self._follower = self._follower, None
        if follower:
            follower.cancel()
            await asyncio.wait([follower])

    async def _follow(self, changed: Callable[[list[TraefikAPI]], None], now: list[TraefikAPI]) -> None:
        names = {api.name for api in now}
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), _INTERVAL)
            self._hurry.clear()
            found = await self.find()
            before, names = names, {api.name for api in found}
            for name in sorted(names - before):
                self._log.info("Traefik at %s has joined", name)
            for name in sorted(before - names):
                self._log.info("Traefik at %s has left: its name has that address no more", name)
            if names != before:
                changed(found)

    async def _resolve(self, url: str) -> None:
        if not _has_name(url):
            return
        try:
            answers = await lookup(urlsplit(url).hostname or "")
        except OSError:
            return  # whoever asks the replica by its name is told why
        self._known[url] = _addresses(answers)


async def lookup(host: str) -> list[str]:
    """The addresses that the name `host` has. Raises OSError when it has none, or nobody can tell in time."""
    question = asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(answer[4][0]) for answer in await asyncio.wait_for(question, _PATIENCE)]


def _addresses(answers: Sequence[str]) -> tuple[str, ...]:
    """Those of a name's addresses that are replicas of their own; an empty text: the name is one replica."""
    addresses = sorted({ipaddress.ip_address(answer.partition("%")[0]) for answer in answers}, key=int)
    for version in (4, 6):
        several = tuple(str(address) for address in addresses if address.version == version)
        if len(several) > 1:
            return several
    return ("",)


def _has_name(url: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return True
    return False
