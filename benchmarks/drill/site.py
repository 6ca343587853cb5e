"""Everything that a drill needs, running: store, Traefiks, balancer, users' servers, hub, visitors, changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jhub_kvproxy.store.registry import find_backend
from servers.calls import Gone
from servers.cluster import Cluster
from servers.errors import Unavailable
from servers.ports import free_port
from servers.process import Process
from servers.programs import ROOT

from ..errors import BenchmarkError
from ..routes import user
from .balancer import Balancer
from .book import Book
from .changes import Changes
from .hubs import HubProcess
from .replicas import Replica, make_replicas
from .stores import STORES
from .sweep import Found, compare_table, sweep
from .visitors import Visitors

_PREFIX = "drill"
_SPARE_SERVERS = 60
_BOOT_TIMEOUT, _TABLE_TIMEOUT, _STEADY_TIMEOUT = 120.0, 60.0, 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """How large a site is."""

    replicas: int = 3
    users: int = 200
    #: Requests a second.
    rate: float = 200
    websockets: int = 20
    #: For each Traefik.
    downloads: int = 2


class Site:
    """A site of `size` on the store of `backend`, which runs within ``async with``.

    `delivery` is :attr:`KVProxy.delivery`: how the table gets to Traefik.
    """

    store: Cluster
    replicas: list[Replica]
    balancer: Balancer
    book: Book
    hub: HubProcess
    visitors: Visitors
    changes: Changes

    def __init__(self, backend: str, delivery: str, size: Size, directory: Path) -> None:
        self.backend = backend
        self.delivery = delivery
        self.size = size
        #: A server that no user has.
        self.spare = ""
        self._directory = directory
        self._stack = AsyncExitStack()
        self._hubs = 0
        self._password = secrets.token_urlsafe(32)

    async def __aenter__(self) -> Site:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def new_hub(self) -> HubProcess:
        """Another hub, which is not booted: with a name and a port of its own."""
        self._hubs += 1
        return await self._spawn(f"hub-{self._hubs}", free_port())

    async def same_hub(self) -> HubProcess:
        """The hub that was killed, started again, and not booted."""
        return await self._spawn(self.hub.name, self.hub.port)

    async def boot(self, hub: HubProcess) -> None:
        """Boot `hub`, as often as it takes, as a service manager does; then it is the one that changes are asked of."""
        deadline = time.monotonic() + _BOOT_TIMEOUT
        while True:
            try:
                await hub.call("boot", timeout=_BOOT_TIMEOUT, users=self.book.users)
                break
            except Gone:
                raise BenchmarkError(f"{hub.name} ended while it booted") from None
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)
        self.hub = hub

    async def sweep(self) -> Found:
        """What is amiss with the routes at this moment; meanwhile none may change."""
        expected = self.book.expected()
        found = await sweep(self.replicas, expected, self.hub.name)
        try:
            compare_table(found, expected, await self.hub.call("routes", timeout=_TABLE_TIMEOUT))
        except (Unavailable, Gone) as error:
            found.lost.append(f"the table cannot be read: {error or 'the hub is gone'}")
        return found

    async def mend(self) -> bool:
        """Have the hub check its routes, so that the next fault meets a whole site; whether it is one then."""
        with contextlib.suppress(Unavailable, Gone):
            await self.hub.call("poll", timeout=_TABLE_TIMEOUT)
            await self._until_steady()
            return True
        return False

    async def _start(self) -> None:
        self.store = STORES[self.backend](self._directory)
        self._stack.callback(self.store.kill)
        self.store.launch()
        await asyncio.to_thread(self.store.wait)
        self.replicas = await make_replicas(self.size.replicas, self._configuration(), self._directory)
        for replica in self.replicas:
            self._stack.callback(replica.process.kill)
            replica.process.launch()
        servers = await self._start_servers()
        self.spare = servers.pop()
        users = {user(number): servers[number] for number in range(self.size.users)}
        self.book = Book(users)
        self.balancer = Balancer(self.replicas, self._directory)
        self._stack.callback(self.balancer.stop)
        await self.balancer.wait()
        await self.boot(await self.new_hub())
        await self._until_steady()
        self.visitors = await Visitors.spawn(
            {
                "port": self.balancer.port,
                "users": users,
                "rate": self.size.rate,
                "websockets": self.size.websockets,
                "downloads": self.size.downloads * self.size.replicas,
            },
            self._directory,
        )
        self._stack.push_async_callback(self.visitors.stop)
        await self._until_visited()
        targets = servers[self.size.users :]
        self.changes = Changes(lambda: self.hub, self.book, targets, self.balancer.port)
        self._stack.push_async_callback(self.changes.stop)
        self.changes.start()

    async def _start_servers(self) -> list[str]:
        log = self._directory / "servers.log"
        command = [sys.executable, "-m", "benchmarks.drill.servers", str(self.size.users + _SPARE_SERVERS)]
        servers = Process("the users' servers", command, log, cwd=ROOT)
        self._stack.callback(servers.kill)
        servers.launch()
        await asyncio.to_thread(servers.wait_until, lambda: servers.log.endswith("]\n"))
        return [str(port) for port in json.loads(servers.log)]

    async def _spawn(self, name: str, port: int) -> HubProcess:
        hub = await HubProcess.spawn(name, port, self._specification(), self._directory)
        self._stack.push_async_callback(hub.kill)
        return hub

    async def _until_steady(self) -> None:
        deadline = time.monotonic() + _STEADY_TIMEOUT
        while (found := await self.sweep()).lost or found.wrong:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the routes do not come up: {[*found.lost, *found.wrong][:3]}")
            await asyncio.sleep(0.2)
        await asyncio.sleep(1)  # for the balancer to find all of them up

    async def _until_visited(self) -> None:
        deadline = time.monotonic() + _STEADY_TIMEOUT
        while self.visitors.websockets < self.size.websockets:
            self.visitors.check()
            if time.monotonic() > deadline:
                raise BenchmarkError("the websockets do not come up")
            await asyncio.sleep(0.1)

    def _configuration(self) -> dict[str, Any]:
        """The hub's, by class."""
        traits = {
            "backend_class": self.backend,
            "prefix": _PREFIX,
            "delivery": self.delivery,
            "should_start": False,
            "traefik_api_password": self._password,
        }
        return {"KVProxy": traits, find_backend(self.backend).__name__: self.store.traits}

    def _specification(self) -> dict[str, Any]:
        """What makes a hub's proxy object, see :func:`..worker.make.make_part`."""
        config = self._configuration()
        config["KVProxy"]["traefik_api_urls"] = [replica.api_url for replica in self.replicas]
        return {
            "kind": "own",
            "proxy_class": "jhub_kvproxy.hub.proxy:KVProxy",
            "config": config,
            "public_url": f"http://127.0.0.1:{self.balancer.port}/",
        }
