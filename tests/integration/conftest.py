"""A KVProxy with a real Traefik, for each test its own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from jhub_kvproxy.proxy import KVProxy
from tests.servers import Client, free_port, user_server


class Site:
    """One public port, the proxies that serve it, and the user servers behind."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self.directory = directory
        self.port = free_port()
        self.client = Client(self.port)
        self.log = logging.getLogger(f"site-{self.port}")
        self._stack = stack

    def proxy(self, *, host_routing: bool = False, **traits: Any) -> KVProxy:
        """A proxy that is stopped with the test, with these traits of KVProxy."""
        config = Config()
        config.TomlBackend.path = str(self.directory / "table")
        config.KVProxy.runtime_dir = str(self.directory / "run")
        config.KVProxy.update(traits)
        proxy = KVProxy(
            public_url=f"http://127.0.0.1:{self.port}/", host_routing=host_routing, config=config, log=self.log
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


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        site = Site(tmp_path, stack)
        yield site
        await site.client.close()
