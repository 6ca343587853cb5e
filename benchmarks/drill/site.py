"""All running parts of a drill: store, Traefiks, balancer, users' servers, hub, visitors, changes."""

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
from servers.disk import SmallDisk
from servers.errors import Unavailable
from servers.ports import free_port
from servers.process import Process
from servers.programs import ROOT

from ..errors import BenchmarkError
from ..probe import Probe
from ..routes import user
from .balancer import Balancer
from .book import Book, path
from .changes import Changes
from .hubs import HubProcess
from .network import SlowStore
from .replicas import Replica, make_replicas
from .stores import STORES, Files
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

    `delivery` is :attr:`KVProxy.delivery`: how the table gets to Traefik. With `has_disk`, a store that is a directory
    has a file system of its own, :attr:`disk`.
    """

    store: Cluster
    replicas: list[Replica]
    balancer: Balancer
    book: Book
    hub: HubProcess
    visitors: Visitors
    changes: Changes

    def __init__(self, backend: str, delivery: str, size: Size, directory: Path, *, has_disk: bool = False) -> None:
        self.backend = backend
        self.delivery = delivery
        self.size = size
        #: A server without a user.
        self.spare = ""
        self.disk: SmallDisk | None = None
        self._has_disk = has_disk
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

    async def new_hub(self, *, clock_ahead: float = 0.0, way: SlowStore | None = None) -> HubProcess:
        """Another hub, with its own name and port, not booted.

        Its wall clock is `clock_ahead` seconds ahead, and it uses the store by `way`.
        """
        self._hubs += 1
        return await self._spawn(f"hub-{self._hubs}", free_port(), clock_ahead, way)

    async def same_hub(self) -> HubProcess:
        """The hub that was killed, started again, and not booted."""
        return await self._spawn(self.hub.name, self.hub.port)

    async def boot(self, hub: HubProcess) -> None:
        """Boot `hub`, with as many tries as it takes, like a service manager; then it gets the changes."""
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

    async def replace_hub(self, hub: HubProcess) -> None:
        """Kill the hub between two changes, and boot `hub` in its place."""
        await self.changes.pause()
        await self.hub.kill()
        await self.boot(hub)
        self.changes.resume()

    async def slow_store(self) -> SlowStore:
        """A way to the store that may be slow, until the site ends."""
        return await self._stack.enter_async_context(SlowStore(self.store))

    async def until_served(self, replica: Replica, timeout: float) -> float:
        """Wait until `replica` serves all users whose servers do not change; returns when. Raises TimeoutError."""
        async with Probe(replica.port) as probe:
            seen = await probe.until({path(name): port for name, port in self._lasting.items()}, timeout)
        return max(seen.values())

    async def sweep(self) -> Found:
        """Lost and wrong routes now. No route may change meanwhile."""
        expected = self.book.expected()
        found = await sweep(self.replicas, expected, self.hub.name)
        try:
            compare_table(found, expected, await self.hub.call("routes", timeout=_TABLE_TIMEOUT))
        except (Unavailable, Gone) as error:
            found.lost.append(f"the table cannot be read: {error or 'the hub is gone'}")
        return found

    async def mend(self) -> bool:
        """Let the hub check its routes, so that the next fault finds an intact site; return whether it is intact."""
        with contextlib.suppress(Unavailable, Gone):
            await self.hub.call("poll", timeout=_TABLE_TIMEOUT)
            await self._until_steady()
            return True
        return False

    async def _start(self) -> None:
        self.store = STORES[self.backend](self._directory)
        self._stack.callback(self.store.kill)
        if self._has_disk and isinstance(self.store, Files):
            self.disk = self._stack.enter_context(SmallDisk(self.store.make(), "16m"))
        self.store.launch()
        await asyncio.to_thread(self.store.wait)
        self.replicas = await make_replicas(self.size.replicas, self._configuration(self.store.traits), self._directory)
        for replica in self.replicas:
            for process in replica.processes:
                self._stack.callback(process.kill)
            replica.launch()
        servers = await self._start_servers()
        self.spare = servers.pop()
        users = {user(number): servers[number] for number in range(self.size.users)}
        self._lasting = users
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

    async def _spawn(self, name: str, port: int, clock_ahead: float = 0.0, way: SlowStore | None = None) -> HubProcess:
        specification = self._specification((way or self.store).traits)
        hub = await HubProcess.spawn(name, port, specification, self._directory, clock_ahead)
        self._stack.push_async_callback(hub.kill)
        return hub

    async def _until_steady(self) -> None:
        deadline = time.monotonic() + _STEADY_TIMEOUT
        while (found := await self.sweep()).lost or found.wrong:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the routes were not served in time: {[*found.lost, *found.wrong][:3]}")
            await asyncio.sleep(0.2)
        await asyncio.sleep(1)  # until the balancer sees all of them up

    async def _until_visited(self) -> None:
        deadline = time.monotonic() + _STEADY_TIMEOUT
        while self.visitors.websockets < self.size.websockets:
            self.visitors.check()
            if time.monotonic() > deadline:
                raise BenchmarkError("the websockets did not connect in time")
            await asyncio.sleep(0.1)

    def _configuration(self, store: dict[str, Any]) -> dict[str, Any]:
        """The hub's, by class, where `store` are the traits of the driver."""
        traits = {
            "backend_class": self.backend,
            "prefix": _PREFIX,
            "delivery": self.delivery,
            "should_start": False,
            "traefik_api_password": self._password,
        }
        if self.delivery == "agent":
            traits["agent_token"] = self._password
        return {"KVProxy": traits, find_backend(self.backend).__name__: store}

    def _specification(self, store: dict[str, Any]) -> dict[str, Any]:
        """What makes a hub's proxy object, see :func:`..worker.make.make_part`."""
        config = self._configuration(store)
        if self.delivery == "agent":
            config["KVProxy"]["agent_urls"] = [replica.agent_url for replica in self.replicas]
        else:
            config["KVProxy"]["traefik_api_urls"] = [replica.api_url for replica in self.replicas]
        return {
            "kind": "own",
            "proxy_class": "jhub_kvproxy.hub.proxy:KVProxy",
            "config": config,
            "public_url": f"http://127.0.0.1:{self.balancer.port}/",
        }
