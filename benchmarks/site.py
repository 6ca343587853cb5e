"""A proxy that runs with N routes: its public port, its processes, its hub part."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jhub_kvproxy.store.registry import find_backend
from servers.ports import free_port
from servers.process import is_alive
from servers.programs import find, peer_python

from . import stores
from .bare import BareTraefik
from .origin import Origin
from .probe import Probe
from .processes import Usage, descendants, usage
from .routes import routespec, some, user
from .variants import PEERS, Variant, configuration_of
from .workers import Reply, Worker

# Seeding 10,000 routes one by one takes CHP 15 s on two free cores.
_OPEN_TIMEOUT, _SERVED_TIMEOUT = 180.0, 60.0
_SETTLE_TIMEOUT, _SETTLE_WINDOW, _IDLE = 10.0, 0.05, 0.3

_SAMPLE = 200

_numbers = itertools.count()
_Started = TypeVar("_Started", BareTraefik, stores.Store)


def opening_seconds(variant: Variant, count: int) -> float:
    """What :meth:`Site.open` and :meth:`Site.close` take, roughly, while others do the same."""
    return 0.5 if variant.kind == "bare" else 0.8 + count / 2000


class Site:
    """A variant with `count` routes, from :meth:`open` to :meth:`close`."""

    def __init__(self, variant: Variant, count: int, origin: Origin, directory: Path, config_file: str) -> None:
        self.variant = variant
        self.count = count
        self.origin = origin
        self.port = free_port()
        self._directory = directory / f"site-{next(_numbers)}"
        self._config_file = config_file
        self._prefix = f"bench-{secrets.token_hex(4)}"
        self._store: stores.Store | None = None
        self._bare: BareTraefik | None = None
        self._hub: Worker | None = None
        self._proxy_pids: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Start everything, and wait until all routes are served."""
        await self.prepare()
        if self.variant.kind == "bare":
            target = self.origin.targets["a"]
            self._bare = await _started(BareTraefik, self._directory / "traefik", self.port, target)
        else:
            await self.call("open", timeout=_OPEN_TIMEOUT, count=self.count, targets=self.origin.targets)
        await self.until_all_served()

    async def until_all_served(self) -> float:
        """Wait until a sample of the standing routes and the hub's are served; returns when they were."""
        names = some(map(user, range(self.count)), _SAMPLE)
        hub = "a" if self.variant.kind == "bare" else "hub"
        wanted = {"/hub/": hub, **{routespec(name): "a" for name in names}}
        async with Probe(self.port) as probe:
            return max((await probe.until(wanted, _SERVED_TIMEOUT)).values())

    async def prepare(self) -> None:
        """Start all but the proxy."""
        self._directory.mkdir()
        if self.variant.backend and not self._config_file:
            self._store = await _started(stores.start, self.variant.backend, self._directory / "store")
        if self.variant.has_hub_part:
            await self.spawn()

    async def spawn(self) -> None:
        """Start a hub part, without its proxy."""
        python = peer_python() if self.variant.kind == "peer" else sys.executable
        self._hub = await Worker.spawn(self.variant.name, python, self._directory, self._env())
        await self.call("make", timeout=30, **self._specification())

    async def end_hub(self) -> None:
        """End the hub part and its proxy; the store stays."""
        hub, self._hub = self._hub, None
        self._proxy_pids = []
        if hub:
            await hub.stop()

    async def close(self) -> None:
        """End everything."""
        try:
            if self._hub and self._config_file:
                await self.call("remove", timeout=30)
        finally:
            await self.end_hub()
            for part in (self._bare, self._store):
                if part:
                    await asyncio.to_thread(part.stop)

    async def call(self, do: str, *, timeout: float, **arguments: Any) -> Reply:
        """Tell the hub part to do something, see :mod:`.worker.commands`."""
        assert self._hub, f"{self.variant.name} has no hub part"
        return await self._hub.call(do, timeout=timeout, **arguments)

    def hub_usage(self) -> Usage:
        return usage([self._hub.pid] if self._hub else [])

    def proxy_usage(self) -> Usage:
        return usage(self._proxies())

    def kill_proxy(self) -> None:
        """End the proxy as a crash would; what starts it again is its hub part."""
        for pid in self._proxies():
            os.kill(pid, signal.SIGKILL)

    def store_usage(self) -> Usage:
        return usage(self._store.pids if self._store else [])

    async def settle(self) -> None:
        """Wait until nothing of it works any more on what was asked of it."""
        deadline = time.monotonic() + _SETTLE_TIMEOUT
        before = self._cpu()
        while time.monotonic() < deadline:
            await asyncio.sleep(_SETTLE_WINDOW)
            now = self._cpu()
            if now - before < _IDLE * _SETTLE_WINDOW:
                return
            before = now

    def _proxies(self) -> list[int]:
        if not self._proxy_pids or not all(map(is_alive, self._proxy_pids)):
            first = [self._bare.pid] if self._bare else []
            parent = self._bare or self._hub
            self._proxy_pids = first + list(descendants(parent.pid) if parent else [])
        return self._proxy_pids

    def _cpu(self) -> float:
        return self.hub_usage().cpu + self.proxy_usage().cpu + self.store_usage().cpu

    def _env(self) -> Mapping[str, str]:
        # All use the same Traefik.
        paths = [str(Path(find("traefik")).parent), os.environ["PATH"]]
        return {**os.environ, "PATH": os.pathsep.join(paths)}

    def _specification(self) -> dict[str, Any]:
        """What makes the hub part, see :func:`.worker.make.make_part`."""
        make = {"own": self._own, "peer": self._peer, "chp": self._chp}[self.variant.kind]
        return {
            "kind": self.variant.kind,
            "public_url": self.url + "/",
            "hub_url": self.origin.targets["hub"],
            "config_file": self._config_file,
            **make(),
        }

    def _own(self) -> dict[str, Any]:
        traits: dict[str, Any] = {
            "backend_class": self.variant.backend,
            "prefix": self._prefix,
            "runtime_dir": str(self._directory / "run"),
        }
        config: dict[str, Any] = {"KVProxy": traits}
        if self._store:
            config[find_backend(self.variant.backend).__name__] = self._store.traits
        for name, options in configuration_of(self.variant.option).items():
            config[name] = {**config.get(name, {}), **options}
        return {"proxy_class": "jhub_kvproxy.hub.proxy:KVProxy", "config": config}

    def _peer(self) -> dict[str, Any]:
        assert self._store
        proxy_class, option = PEERS[self.variant.backend]
        address = self._store.address
        traits = {
            option: f"{address}/rules.toml" if self.variant.backend == "toml" else address,
            "static_config_file": str(self._directory / "traefik.toml"),
            "traefik_api_url": f"http://127.0.0.1:{free_port()}",
            "traefik_api_username": "bench",
            "traefik_api_password": secrets.token_hex(16),
        }
        return {"proxy_class": proxy_class, "config": {proxy_class.partition(":")[2]: traits}}

    def _chp(self) -> dict[str, Any]:
        traits = {
            "command": [find("configurable-http-proxy")],
            "api_url": f"http://127.0.0.1:{free_port()}",
            "pid_file": str(self._directory / "chp.pid"),
        }
        return {
            "proxy_class": "jupyterhub.proxy:ConfigurableHTTPProxy",
            "config": {"ConfigurableHTTPProxy": traits},
        }


async def _started(start: Callable[..., _Started], *arguments: Any) -> _Started:
    """What `start` returns, from a thread. Who is cancelled meanwhile leaves nothing behind."""
    starting = asyncio.create_task(asyncio.to_thread(start, *arguments))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        (await starting).stop()
        raise
