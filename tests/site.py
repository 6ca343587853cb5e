"""KVProxies with a real Traefik each, and what tests watch them by."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jhub_kvproxy import Backend, Batch
from jhub_kvproxy.hub.proxy import KVProxy
from jhub_kvproxy.store.lease import Lease
from jhub_kvproxy.store.reconciler import Reconciler
from jhub_kvproxy.store.writer import Writer
from jhub_kvproxy.traefik_routers.table import Routing, RoutingTable
from servers.ports import free_port
from tests.hub import until
from tests.servers import Client, user_server
from tests.stores import Store


class Site:
    """One public port, the proxies that serve it, and the user servers behind."""

    def __init__(self, directory: Path, store: Store, stack: AsyncExitStack) -> None:
        self.directory = directory
        self.store = store
        self.port = free_port()
        self.client = Client(self.port)
        self.log = logging.getLogger(f"site-{self.port}")
        self._stack = stack

    def proxy(self, *, host_routing: bool = False, prefix: str = "", app: Any = None, **traits: Any) -> KVProxy:
        """A proxy that is stopped with the test, with these traits of KVProxy; Traefik reads the store by default.

        `app` is the JupyterHub that it belongs to, if it is to know one.
        """
        config = Config(self.store.config)
        config.KVProxy.delivery = "store"
        config.KVProxy.runtime_dir = str(self.directory / "run")
        config.KVProxy.prefix = self.store.prefix + prefix
        config.KVProxy.update(traits)
        proxy = KVProxy(
            public_url=f"http://127.0.0.1:{self.port}/",
            host_routing=host_routing,
            app=app,
            config=config,
            log=self.log,
        )
        self._stack.push_async_callback(proxy.stop)
        return proxy

    async def started(self, **traits: Any) -> KVProxy:
        proxy = self.proxy(**traits)
        await proxy.start()
        return proxy

    async def server(self, name: str) -> str:
        """The URL of a new user server with this name."""
        return await self._stack.enter_async_context(user_server(name))


async def count_commits(proxy: KVProxy, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """A list that every batch is added to that `proxy` commits from now on."""
    batches = []
    apply = proxy.backend.apply

    async def counted(batch: Batch) -> None:
        batches.append(batch)
        await apply(batch)

    monkeypatch.setattr(proxy.backend, "apply", counted)
    return batches


def pid_of(proxy: KVProxy) -> int:
    """The process of the first Traefik that `proxy` started."""
    return int(proxy.control.local.supervisors[0]._pid)


async def restart_traefik(proxy: KVProxy) -> None:
    """Kill the first Traefik that `proxy` started, and wait until it is started again."""
    killed = pid_of(proxy)
    os.kill(killed, signal.SIGKILL)
    await until(lambda: pid_of(proxy) != killed, "Traefik was not started again")


async def is_served(site: Site, path: str) -> bool:
    return await site.client.server(path) is not None


async def comes_back(site: Site, path: str = "/user/a/") -> bool:
    """Whether the server of `path` answers on a new connection; also while no Traefik runs."""
    try:
        return await is_served(site, path)
    except OSError:
        return False
    finally:
        await site.client.close()


async def leave(proxy: KVProxy) -> None:
    """End `proxy` as its hub's end does with ``cleanup_proxy = False``: Traefik runs on, and nobody watches it."""
    for supervisor in proxy.control.local.supervisors:
        await supervisor.leave()
    await proxy.control.close()


def writer_for(backend: Backend) -> Writer:
    """A writer that no Traefik keeps waiting, of a table that Traefik reads in the store."""
    lease = Lease(backend, 0, backend.log)
    return Writer(Reconciler(RoutingTable(Routing.TREE), backend, lease, backend.log))
