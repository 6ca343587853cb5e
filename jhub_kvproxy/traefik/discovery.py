"""Finds the replicas: a URL may stand for many, which come and go."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from ..aio import Tasks, rest
from ..resolver import lookup
from .endpoint import Endpoint

# A headless service of Kubernetes follows its pods within seconds, and its answers live 5 s (CoreDNS's default).
_INTERVAL = 5.0

AnyEndpoint = TypeVar("AnyEndpoint", bound=Endpoint)
Made = TypeVar("Made", bound=Endpoint, covariant=True)


class Make(Protocol[Made]):
    """Makes what asks the replica at a URL, or at an `address` that its host name has."""

    def __call__(self, url: str, *, address: str = "") -> Made: ...


class Discovery(Generic[AnyEndpoint]):
    """Follows the replicas that `urls` stand for, from :meth:`follow` to :meth:`close`. `make` makes what asks each.

    A host name with several addresses stands for a replica at each of them. If several are of IPv4, those count,
    otherwise those of IPv6: a machine with one of each is one replica. A name that cannot be resolved keeps the
    addresses that it had.
    """

    def __init__(self, urls: Sequence[str], make: Make[AnyEndpoint], log: Any) -> None:
        self._urls = list(urls)
        self._make = make
        self._log = log
        self._known: dict[str, tuple[str, ...]] = {}
        #: The titles of the replicas that were found last, by their names.
        self._found: dict[str, str] = {}
        self._tasks = Tasks(log)
        self._hurry = asyncio.Event()

    async def find(self) -> list[AnyEndpoint]:
        """The replicas that there are now. Raises :class:`~jhub_kvproxy.errors.TraefikError` for a URL that is none."""
        found = {url: self._make(url) for url in self._urls}
        await asyncio.gather(*(self._resolve(url) for url in found))
        return [
            self._make(url, address=address) if address else api
            for url, api in found.items()
            for address in self._known.get(url, ("",))
        ]

    def follow(self, changed: Callable[[list[AnyEndpoint]], None], now: list[AnyEndpoint]) -> None:
        """Call `changed` with the replicas whenever others than `now` are found, until :meth:`close`."""
        if any(map(_has_name, self._urls)):
            self._found = _titles(now)
            self._tasks.keep(lambda: self._follow(changed), "following the replicas")

    def hurry(self) -> None:
        """Resolve the names at once: a replica does not answer, and may have gone."""
        self._hurry.set()

    async def close(self) -> None:
        await self._tasks.close()

    async def _follow(self, changed: Callable[[list[AnyEndpoint]], None]) -> None:
        while True:
            await rest(_INTERVAL, self._hurry)
            self._hurry.clear()
            apis = await self.find()
            found = _titles(apis)
            for name in sorted(found.keys() - self._found.keys()):
                self._log.info("%s has joined", found[name])
            for name in sorted(self._found.keys() - found.keys()):
                self._log.info("%s has left: its name no longer has that address", self._found[name])
            if found != self._found:
                changed(apis)
                self._found = found

    async def _resolve(self, url: str) -> None:
        if not _has_name(url):
            return
        try:
            answers = await lookup(urlsplit(url).hostname or "")
        except OSError:
            return  # the error comes up when the replica is asked by its name
        self._known[url] = _addresses(answers)


def _titles(apis: Sequence[Endpoint]) -> dict[str, str]:
    return {api.name: api.title for api in apis}


def _addresses(answers: Sequence[str]) -> tuple[str, ...]:
    """The addresses of a name that stand for a replica each; one empty text: the name is one replica."""
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
