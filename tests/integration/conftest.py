"""What a test has of its own: a KVProxy with a real Traefik, drivers, and Redises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from jhub_kvproxy_backends.consul import ConsulBackend
from jhub_kvproxy_backends.redis import RedisBackend
from servers.certificates import Authority
from servers.consul import ConsulServer
from servers.redis import RedisServer
from tests.drivers import drivers
from tests.site import Site
from tests.stores import Store


@pytest.fixture
async def site(tmp_path: Path, store: Store) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        site = Site(tmp_path, store, stack)
        yield site
        await site.client.close()


@pytest.fixture
async def new_consul(consul: ConsulServer) -> AsyncIterator[Callable[..., ConsulBackend]]:
    """A function that makes drivers, not opened, on the shared Consul unless they are given another."""
    async with drivers(ConsulBackend, url=consul.url) as new:
        yield new


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """A function that starts Redises with these lines of configuration, each with the files of its `name`."""
    with ExitStack() as stack:
        yield lambda *lines, name="redis", **options: stack.enter_context(
            RedisServer(tmp_path / name, *lines, **options)
        )


@pytest.fixture
async def open_redis() -> AsyncIterator[Callable[..., Awaitable[RedisBackend]]]:
    """A function that opens drivers on a Redis."""
    async with drivers(RedisBackend, prefix="hub") as new:

        async def make(server: RedisServer, **traits: Any) -> RedisBackend:
            backend = new(**{"url": server.url, **traits})
            await backend.open()
            return backend

        yield make


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The one that certificates of servers and clients are from."""
    return Authority(tmp_path_factory.mktemp("authority"))
